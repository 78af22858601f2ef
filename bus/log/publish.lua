-- One publish: append to the channel's log, trim it, set its life, publish the line. Atomic, and readable in MONITOR.
--
-- KEYS[1] the log          ARGV[1] id of the event      ARGV[4] salt, 1 to 2^32
--                          ARGV[2] name of the event    ARGV[5] events to keep; 1 keeps exactly one
--                          ARGV[3] the line             ARGV[6] life of the log after this event, ms
--                                                       ARGV[7] the channel
-- A repeated attempt has   ARGV[8] the time before the first one was sent, ms of this clock or of the one that was
-- three more:                      primary then
--                          ARGV[9] where to begin to look for the event, ms: earlier by a margin
--                          ARGV[10] id of the event that its producer sent here before it; '' if that is not known
--
-- Answers {position, how many subscribers got it}. To a repeated attempt also {position, 0} when the event is here,
-- {'uncertain', 0} when it may have been here and be gone, {'newer', 0} when a later value stands.
--
-- The position is `<ms>-<n>`. The salt in n makes sure that two primaries never give one id to two events: not in the
-- same millisecond, and not when the clock of the second one is behind (then n grows from the last entry's). Lua counts
-- in doubles, so n stays below 2^52; past that the millisecond moves on by one.
--
-- Behind an id of 2^53 ms or more, which somebody typed, nobody could count on, and behind the last of all ids Redis
-- itself appends nothing. Such entries are taken out, and the log's own ones stay (docs/decisions/0047).
--
-- Stored and published, or neither: a script that Redis stops half way takes nothing back. What it calls after XADD is
-- therefore looked up in the user's rights before it; all other refusals come from XADD itself or from what reads.

local key = KEYS[1]
local may = redis.acl_check_cmd or function() return true end  -- since Redis 7

local function last_id()
  local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)
  if newest[1] then return newest[1][1] end
  if redis.call('EXISTS', key) == 0 then return '0-0' end
  return redis.call('XINFO', 'STREAM', key)[8]        -- a log that somebody emptied by hand
end

local function is_beyond(id)
  return tonumber(string.match(id, '^%d+')) >= 2^53
end

-- The log is written anew, since Redis forgets no id that it generated or was given. PEXPIRE with -1 deletes: a user for
-- producers has no DEL. Answers the last id that is left. Who may not add leaves the log alone.
local function take_out_what_is_beyond()
  if not (may('PEXPIRE', key) and may('XADD', key)) then return last_id() end
  local own = redis.call('XRANGE', key, '-', '9007199254740991')
  redis.call('PEXPIRE', key, -1)
  for _, entry in ipairs(own) do redis.call('XADD', key, entry[1], unpack(entry[2])) end
  redis.call('PEXPIRE', key, ARGV[6])
  return last_id()
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function next_id(last)
  local ms, n = now_ms(), tonumber(ARGV[4])
  local last_ms, last_n = string.match(last, '^(%d+)-(%d+)$')
  last_ms, last_n = tonumber(last_ms), tonumber(last_n)
  if ms <= last_ms then
    ms, n = last_ms, last_n + 1 + n
    if n >= 2^52 then ms, n = ms + 1, tonumber(ARGV[4]) end
  end
  return string.format('%.0f-%.0f', ms, n)
end

local function append(previous)
  local position = next_id(previous)
  local trim = ARGV[5] == '1' and '=' or '~'
  local reply = redis.pcall('XADD', key, 'MAXLEN', trim, ARGV[5], position,
    'previous', previous, 'id', ARGV[1], 'event', ARGV[2], 'line', ARGV[3])
  return position, reply
end

-- Calls what is refused, so that ACL LOG has it, and answers with one text on all servers. PEXPIRE of a log that is
-- there and PUBLISH of nothing would do no harm, and do not happen.
local function refused(...)
  redis.pcall(...)
  return redis.error_reply('NOPERM the user of Redis has no permission to ' .. table.concat({...}, ' ', 1, 2))
end

-- The event, if an attempt before this one left it here, or why that cannot be told. First attempts pay nothing for it.
local function look()
  local function field(entry, name)
    for index = 1, #entry[2], 2 do
      if entry[2][index] == name then return entry[2][index + 1] end
    end
    return ''
  end

  local function ms_of(position)
    return tonumber(string.match(position, '^%d+')) or 0
  end

  local function find(cursor, last)
    local page
    repeat
      page = redis.call('XRANGE', key, cursor, last, 'COUNT', 50)
      for _, entry in ipairs(page) do
        if field(entry, 'id') == ARGV[1] then return entry[1] end
        cursor = '(' .. entry[1]
      end
    until #page < 50
  end

  -- Whether entries of the time since the first attempt are gone: trimmed, or expired with their log.
  local function is_lost(first, since)
    local previous = first and field(first, 'previous') or last_id()
    if previous == '' then previous = first[1] end     -- an entry that the bus did not write
    if previous ~= '0-0' then return ms_of(previous) >= since end
    local began = first and ms_of(first[1]) or now_ms()
    return began - since >= tonumber(ARGV[6])
  end

  local since = tonumber(ARGV[8])
  local position = find(ARGV[8] .. '-0', '+')
  if not position and since > 0 then position = find(ARGV[9] .. '-0', '(' .. ARGV[8] .. '-0') end
  if position then
    redis.pcall('PEXPIRE', key, ARGV[6])               -- a write, so that WAIT on this connection means something
    return position
  end
  local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
  if ARGV[5] == '1' and first and field(first, 'id') == ARGV[10] then return nil end
  if is_lost(first, since) then return 'uncertain' end
  if ARGV[5] == '1' and first and ms_of(first[1]) >= since then return 'newer' end
end

if ARGV[8] then
  if is_beyond(last_id()) then take_out_what_is_beyond() end
  local found = look()
  if found then return {found, 0} end
end
local function is_behind(reply)
  if type(reply) ~= 'table' or not reply.err then return false end
  return string.find(reply.err, 'equal or smaller', 1, true) or string.find(reply.err, 'exhausted', 1, true)
end
if not may('PEXPIRE', key) then return refused('PEXPIRE', key, ARGV[6]) end
if not may('PUBLISH', ARGV[7]) then return refused('PUBLISH', ARGV[7], '') end
local previous = last_id()
if is_beyond(previous) then previous = take_out_what_is_beyond() end
local position, reply = append(previous)
if is_behind(reply) then
  previous = redis.call('XINFO', 'STREAM', key)[8]    -- somebody deleted the newest entry by hand
  if is_beyond(previous) then previous = take_out_what_is_beyond() end
  position, reply = append(previous)
end
if type(reply) == 'table' and reply.err then return reply end
redis.call('PEXPIRE', key, ARGV[6])
local spliced = '{"position":"' .. position .. '","previous":"' .. previous .. '",' .. string.sub(ARGV[3], 2)
return {position, redis.call('PUBLISH', ARGV[7], spliced)}
