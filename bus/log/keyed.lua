-- The state of a channel, written by the publish that appends the event: inserted into publish.lua for channels with a
-- state alone, so that the others run publish.lua as it is.
--
-- KEYS[2] the state, a hash: key -> the newest line as published. Three fields are the bus's: `bus:bytes`, of all lines
--         and keys; `bus:writes`, so far; and `bus:evicted`, the position up to which keys may be missing
-- KEYS[3] the keys by age, a sorted set: the number of the write; of a tombstone less 2^53, so that it goes first
-- KEYS[4] the keys by name, a sorted set of equal scores, where removals take the keys under a key along
--
-- Behind the arguments of publish.lua, the last first: the number of keys, the keys, 'gone' for a removal, 'parts' for
-- KEYS[4] in use, the most bytes, the most keys.
--
-- decisions/0100: a single script, so that no event is in the log and not in the state. All refusals come before XADD.

local state, ages, names = KEYS[2], KEYS[3], KEYS[4]
local fresh = {}                                       -- the keys that the event is the newest of
for index = tonumber(table.remove(ARGV)), 1, -1 do fresh[index] = table.remove(ARGV) end
local is_gone, has_parts = table.remove(ARGV) == 'gone', table.remove(ARGV) == 'parts'
local bytes_limit, keys_limit = tonumber(table.remove(ARGV)), tonumber(table.remove(ARGV))
-- CUT
-- The first call that this user may not make; nil if there is none.
local function refused_of_state()
  local calls = {
    {'HGET', state, ''}, {'HMGET', state, ''}, {'HSTRLEN', state, ''}, {'HSET', state, '', ''}, {'HDEL', state, ''}, {'PEXPIRE', state, '1'},
    {'ZCARD', ages}, {'ZRANGE', ages, '0', '0'}, {'ZADD', ages, '0', ''}, {'ZREM', ages, ''}, {'PEXPIRE', ages, '1'},
  }
  if has_parts then
    for _, call in ipairs({{'ZRANGEBYLEX', names, '-', '+'}, {'ZADD', names, '0', ''}, {'ZREM', names, ''},
                           {'PEXPIRE', names, '1'}}) do calls[#calls + 1] = call end
  end
  for _, call in ipairs(calls) do
    if not may(unpack(call)) then return call end
  end
end

-- A number of the bus's, or 0 for whatever was typed in its place.
local function counted(text)
  local number = tonumber(text or 0) or 0
  return number >= 0 and number < 2^52 and math.floor(number) or 0
end

-- Keep the line as the newest of its keys, and the state within its bounds.
local function keep(position, previous, line)
  if previous == '0-0' then                            -- the log begins, and whatever stands there is of an earlier one
    for index = 2, has_parts and 4 or 3 do redis.call('PEXPIRE', KEYS[index], -1) end
  end
  local had = redis.call('HMGET', state, 'bus:bytes', 'bus:writes')
  local bytes, writes = counted(had[1]), counted(had[2])
  -- A state that begins behind its log, as after an upgrade: keys of before may be missing.
  local evicted = not had[1] and previous ~= '0-0' and previous

  local function drop(name)
    local size = redis.call('HSTRLEN', state, name)
    if size > 0 then bytes = bytes - size - #name end
    redis.call('HDEL', state, name)
    redis.call('ZREM', ages, name)
    if has_parts then redis.call('ZREM', names, name) end
  end

  for _, name in ipairs(fresh) do
    if is_gone and has_parts then
      for _, part in ipairs(redis.call('ZRANGEBYLEX', names, '[' .. name .. ':', '(' .. name .. ';')) do drop(part) end
    end
    local size = redis.call('HSTRLEN', state, name)
    bytes = bytes + #line - (size > 0 and size or -#name)
    redis.call('HSET', state, name, line)
    writes = writes + 1
    redis.call('ZADD', ages, is_gone and writes - 2^53 or writes, name)
    if has_parts then redis.call('ZADD', names, 0, name) end
  end

  while bytes > bytes_limit or redis.call('ZCARD', ages) > keys_limit do
    local oldest = redis.call('ZRANGE', ages, 0, 0, 'WITHSCORES')
    if not oldest[1] then bytes = 0 break end          -- the count was typed by hand
    if tonumber(oldest[2]) >= 0 then
      local old = redis.call('HGET', state, oldest[1])
      evicted = old and string.match(old, '^{"position":"(%d+%-%d+)"') or previous
    end
    drop(oldest[1])
  end

  redis.call('HSET', state, 'bus:bytes', string.format('%.0f', math.max(bytes, 0)),
    'bus:writes', string.format('%.0f', writes))
  if evicted then redis.call('HSET', state, 'bus:evicted', evicted) end
  for index = 2, has_parts and 4 or 3 do redis.call('PEXPIRE', KEYS[index], ARGV[6]) end
end

local unable = refused_of_state()
if unable then return refused(unpack(unable)) end
redis.call('HGET', state, 'bus:bytes')                 -- a key of another type refuses the publish, as a log's does
redis.call('ZCARD', ages)
if has_parts then redis.call('ZCARD', names) end
