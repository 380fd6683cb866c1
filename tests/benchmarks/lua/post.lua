-- POST with a body of as many bytes as the first argument says; the same each time, so wrk prepares it once.
function init(args)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = string.rep("x", tonumber(args[1]))
end
