-- Asks for COUNT entries below PREFIX, each as often, far apart: a prime stride meets each once a round.
local before, after, count, at
local stride = 611953

function init(args)
  count = tonumber(args[2])
  at = os.time() % count
  local request = wrk.format("GET", args[1] .. "@")
  local mark = request:find("@", 1, true)
  before, after = request:sub(1, mark - 1), request:sub(mark + 1)
end

function request()
  at = (at + stride) % count
  return before .. string.format("%d", at) .. after
end
