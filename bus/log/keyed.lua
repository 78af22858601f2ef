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
-- The first call that this user may not make; nil if there is none. Unrolled: a table of calls costs what a call does.
local function refused_of_state()
  if not may('HMGET', state, '') then return 'HMGET', state, '' end
  if not may('ZCARD', ages) then return 'ZCARD', ages end
  if not may('PEXPIRE', state, '1') then return 'PEXPIRE', state, '1' end
  if not may('PEXPIRE', ages, '1') then return 'PEXPIRE', ages, '1' end
  if not may('HSET', state, '', '') then return 'HSET', state, '', '' end
  if has_parts and not may('PEXPIRE', names, '1') then return 'PEXPIRE', names, '1' end
  if not fresh[1] then return end                      -- an event of the log alone needs no more
  for _, call in ipairs({'HGET', 'HSTRLEN', 'HDEL'}) do
    if not may(call, state, '') then return call, state, '' end
  end
  if not may('ZADD', ages, '0', '') then return 'ZADD', ages, '0', '' end
  if not may('ZREM', ages, '') then return 'ZREM', ages, '' end
  if not may('ZRANGE', ages, '0', '0') then return 'ZRANGE', ages, '0', '0' end
  if not has_parts then return end
  if not may('ZADD', names, '0', '') then return 'ZADD', names, '0', '' end
  if not may('ZREM', names, '') then return 'ZREM', names, '' end
  if not may('ZRANGEBYLEX', names, '-', '+') then return 'ZRANGEBYLEX', names, '-', '+' end
end

-- A number of the bus's, or 0 for whatever was typed in its place.
local function counted(text)
  local number = tonumber(text or 0) or 0
  return number >= 0 and number < 2^52 and math.floor(number) or 0
end

if refused_of_state() then return refused(refused_of_state()) end
-- A key of another type refuses the publish here, as a log's does.
local had = redis.call('HMGET', state, 'bus:bytes', 'bus:writes')
local count = redis.call('ZCARD', ages)
if has_parts then redis.call('ZCARD', names) end

-- Keep the line as the newest of its keys, and the state within its bounds.
local function keep(previous, line)
  if previous == '0-0' then                            -- the log begins, and whatever stands there is of an earlier one
    for index = 2, has_parts and 4 or 3 do redis.call('PEXPIRE', KEYS[index], -1) end
    had, count = {}, 0
  end
  local bytes, writes = counted(had[1]), counted(had[2])
  -- A state that begins behind its log, as after an upgrade: keys of before may be missing.
  local evicted = not had[1] and previous ~= '0-0' and previous

  local function drop(name)
    local size = redis.call('HSTRLEN', state, name)
    if size > 0 then bytes = bytes - size - #name end
    redis.call('HDEL', state, name)
    count = count - redis.call('ZREM', ages, name)
    if has_parts then redis.call('ZREM', names, name) end
  end

  for _, name in ipairs(fresh) do
    if is_gone and has_parts then
      for _, part in ipairs(redis.call('ZRANGEBYLEX', names, '[' .. name .. ':', '(' .. name .. ';')) do drop(part) end
    end
    local size = redis.call('HSTRLEN', state, name)
    bytes = bytes + #line - (size > 0 and size or -#name)
    writes = writes + 1
    redis.call('HSET', state, name, line)
    count = count + redis.call('ZADD', ages, is_gone and writes - 2^53 or writes, name)
    if has_parts then redis.call('ZADD', names, 0, name) end
  end

  while bytes > bytes_limit or count > keys_limit do
    local oldest = redis.call('ZRANGE', ages, 0, 0, 'WITHSCORES')
    if not oldest[1] then bytes = 0 break end          -- the count was typed by hand
    if tonumber(oldest[2]) >= 0 then
      local old = redis.call('HGET', state, oldest[1])
      evicted = old and string.match(old, '^{"position":"(%d+%-%d+)"') or previous
    end
    drop(oldest[1])
  end

  if fresh[1] or not had[1] then
    redis.call('HSET', state, 'bus:bytes', string.format('%.0f', math.max(bytes, 0)),
      'bus:writes', string.format('%.0f', writes))
  end
  if evicted then redis.call('HSET', state, 'bus:evicted', evicted) end
  for index = 2, has_parts and 4 or 3 do redis.call('PEXPIRE', KEYS[index], life) end
end

