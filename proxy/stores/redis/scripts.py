"""What does Redis do by itself, in one piece, so that nobody sees half of it?

A shelf is a hash: `@` names the key for listings, `#` holds a row for each variant, `~` is when the last one
came (µs), `%` counts uses, `h…` and `b…` are the head and the body of each variant. A row is [order, bytes,
turn, tags]. What belongs to one key or one resource is changed in one script; what spans several (indexes of
upstreams and tags) is written before, so that an index may name what is not there, never the reverse.
"""

from __future__ import annotations

# KEYS: shelf, place's index. ARGV: key, variant, its other kind, head, body, bytes, turn, kept for (ms),
# about the key, most variants, most bytes, tags. The variant replaces its other kind unless that is ''.
# Replies [order, whether there was a shelf, variants more, variants that had to go]; order 0 = a later turn's
# variant stands.
KEEP = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HGET', KEYS[1], '#')
local rows = known and cjson.decode(known) or {}
local name, other, turn = ARGV[2], ARGV[3], tonumber(ARGV[7])
local old = rows[name]
if old and turn > 0 and old[3] > turn and old[3] - turn < 3600000 then return {0, 1, 0, 0} end
local order, before = 0, 0
for _, row in pairs(rows) do
  order, before = math.max(order, row[1]), before + 1
end
order = order + 1
if rows[other] then
  rows[other] = nil
  redis.call('HDEL', KEYS[1], 'h' .. other, 'b' .. other)
end
rows[name] = {order, tonumber(ARGV[6]), turn, ARGV[12]}
local gone, count, bytes = 0, 0, 0
for _, row in pairs(rows) do
  count, bytes = count + 1, bytes + row[2]
end
while count > 1 and (count > tonumber(ARGV[10]) or bytes > tonumber(ARGV[11])) do
  local first, least = nil, order
  for candidate, row in pairs(rows) do
    if row[1] < least then first, least = candidate, row[1] end
  end
  count, bytes, gone = count - 1, bytes - rows[first][2], gone + 1
  rows[first] = nil
  redis.call('HDEL', KEYS[1], 'h' .. first, 'b' .. first)
end
redis.call('HSET', KEYS[1], '@', ARGV[9], '#', cjson.encode(rows), '~', time[1] * 1000000 + time[2],
           'h' .. name, ARGV[4], 'b' .. name, ARGV[5])
local left = math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[8]))
redis.call('PEXPIRE', KEYS[1], left)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZADD', KEYS[2], now + left, ARGV[1])
redis.call('PEXPIRE', KEYS[2], math.max(redis.call('PTTL', KEYS[2]), left))
return {order, known and 1 or 0, count - before, gone}
"""

# KEYS: an index. ARGV: member, kept for (ms).
INDEX = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local limit = math.max(now + tonumber(ARGV[2]), tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0))
redis.call('ZADD', KEYS[1], limit, ARGV[1])
redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), limit - now))
return 1
"""

# KEYS: shelf, place's index. ARGV: key, and which variants go: 'all', 'tag' and a tag, or 'one', a variant
# and the order that it has to have (0 = any).
# Replies how many went.
DROP = """
local known = redis.call('HGET', KEYS[1], '#')
if not known then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return 0
end
local rows = cjson.decode(known)
local gone, left = 0, 0
for name, row in pairs(rows) do
  local meant = ARGV[2] == 'all'
  if ARGV[2] == 'tag' then
    meant = string.find(' ' .. row[4] .. ' ', ' ' .. ARGV[3] .. ' ', 1, true) ~= nil
  elseif ARGV[2] == 'one' then
    meant = name == ARGV[3] and (ARGV[4] == '0' or tonumber(ARGV[4]) == row[1])
  end
  if meant then
    gone = gone + 1
    rows[name] = nil
    redis.call('HDEL', KEYS[1], 'h' .. name, 'b' .. name)
  else
    left = left + 1
  end
end
if left == 0 then
  redis.call('UNLINK', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
elseif gone > 0 then
  redis.call('HSET', KEYS[1], '#', cjson.encode(rows))
end
return gone
"""

# KEYS: shelf. ARGV: uses. What is gone is not made again.
USED = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
return redis.call('HINCRBY', KEYS[1], '%', ARGV[1])
"""

# KEYS: a turn. ARGV: who asks, for how long it is had (ms).
# Replies [who has it, its number]; the number, a time in ms, is '' unless it is had from now on.
TAKE = """
local held = redis.call('GET', KEYS[1])
if held then return {held, ''} end
local time = redis.call('TIME')
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {ARGV[1], string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))}
"""

# KEYS: a turn. ARGV: who has it, for how long it is had (ms).
RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

# KEYS: a turn. ARGV: who has it, what stands there afterwards ('' = nothing), for how long (ms).
END = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""

ALL = (KEEP, INDEX, DROP, USED, TAKE, RENEW, END)
