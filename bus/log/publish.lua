-- One publish: append to the channel's log, trim it, set its life, publish the line. Atomic, and readable in MONITOR.
--
-- KEYS[1] the log          ARGV[1] id of the event      ARGV[4] salt, 1 to 2^32
--   (`…log:{channel}`)     ARGV[2] name of the event    ARGV[5] events to keep; 1 keeps exactly one. Not given: 1000
--                          ARGV[3] the line             ARGV[6] life of the log after this event, ms. Not given: a day and 1 s
-- A repeated attempt has   ARGV[7] the time before the first attempt was sent, ms by the clock of the primary of then
-- three more:              ARGV[8] where the search for the event begins, ms: earlier by a margin
--                          ARGV[9] id of the same producer's event before on this channel; '' if not known
--
-- Answers `position receivers`, a text: the subscribers that Redis sent the line to. To a repeated attempt also
-- `position 0` when the log has the event, `uncertain 0` when the log may have had and lost the event, `newer 0` when a
-- later value stands.
--
-- decisions/0020: a repetition is looked for in the log, and a first attempt pays nothing for that. A key per event
-- would halve the rate.
--
-- delivery.md: the position is `<ms>-<n>`. The salt in n keeps two primaries from giving an id to two events: not in
-- the same millisecond, and not when the second primary's clock is behind (n grows from the last entry's then). Lua
-- counts in doubles, so n stays below 2^52; past that the millisecond moves on.
--
-- decisions/0047: behind a typed id of 2^53 ms or more Lua cannot count on, and behind the last of all ids Redis itself
-- appends no entry. Such entries are taken out, and the log's own entries stay.
--
-- decisions/0060: stored and published, or neither. A script that Redis stops half way takes no write back, so calls
-- after XADD are looked up in the user's rights before; all other refusals come from reads, or from XADD itself.
--
-- decisions/0159: what each call, string and table costs, and why this text spares them.

local call, key, line, salt, keep, life = redis.call, KEYS[1], ARGV[3], ARGV[4], ARGV[5] or '1000', ARGV[6] or '86401000'
local channel = string.sub(key, 10, -2)
-- USUAL
-- decisions/0159, 0166: first attempts on a log whose end a clock gave, without a function or a table of ours. Whatever is
-- not as usual goes on below, with nothing written.
local allows = redis.acl_check_cmd                      -- since Redis 7
local newest = not ARGV[7] and (not allows or allows('PEXPIRE', key) and allows('PUBLISH', channel))
  and call('XREVRANGE', key, '+', '-', 'COUNT', '1')[1]
if newest then
  local previous, time = newest[1], call('TIME')
  local second, micros = time[1], time[2]
  local ms = second .. (#micros == 6 and string.sub(micros, 1, 3) or string.sub('00000' .. micros, -6, -4)) .. '-'
  local position, is_first, reply = ms .. salt, true, nil
  if string.find(previous, ms, 1, true) == 1 then      -- not the first event of this millisecond
    local n = string.sub(previous, #ms + 1) + 1 + salt
    local low = n % 1000000                             -- two small numbers: printf takes its time with a large one
    position = n >= 1000000 and n < 2^50 and ms .. string.format('%d%06d', (n - low) / 1000000, low)
    is_first = keep == '1'
  end
  if position and is_first then
    reply = redis.pcall('XADD', key, 'MAXLEN', keep == '1' and '=' or '~', keep, position,
      'previous', previous, 'id', ARGV[1], 'event', ARGV[2], 'line', line)
  elseif position then                                  -- the first event of a millisecond trims for all
    reply = redis.pcall('XADD', key, position,
      'previous', previous, 'id', ARGV[1], 'event', ARGV[2], 'line', line)
  end
  if type(reply) == 'string' then
    -- The first event of a second begins a life of hours, which has a second more, anew. An entry typed by hand begins none.
    if #life < 8 or string.find(previous, second, 1, true) ~= 1 or newest[2][1] ~= 'previous' then
      call('PEXPIRE', key, life)
    end
    local receivers = call('PUBLISH', channel,
      '{"position":"' .. position .. '","previous":"' .. previous .. '",' .. string.sub(line, 2))
    -- The usual numbers as they stand: Lua spells a number by printf, at 3 % of a publish.
    return position .. (receivers == 1 and ' 1' or receivers == 0 and ' 0' or ' ' .. receivers)
  end
end
-- RARE
local may = redis.acl_check_cmd or function() return true end  -- since Redis 7

local function add(previous, position)
  local trim = keep == '1' and '=' or '~'              -- `~` trims whole nodes, at a fraction of the cost
  return redis.pcall('XADD', key, 'MAXLEN', trim, keep, position,
    'previous', previous, 'id', ARGV[1], 'event', ARGV[2], 'line', line)
end

-- decisions/0060: a refused call is made all the same, so that ACL LOG names the call for administrators; the answer
-- is the same text on all servers. Neither call would do harm, PEXPIRE of a log that is there or PUBLISH of an empty
-- text.
local function refused(...)
  redis.pcall(...)
  return redis.error_reply('NOPERM the user of Redis has no permission to ' .. table.concat({...}, ' ', 1, 2))
end

local function last_id()
  local newest = call('XREVRANGE', key, '+', '-', 'COUNT', 1)
  if newest[1] then return newest[1][1] end
  if call('EXISTS', key) == 0 then return '0-0' end
  return call('XINFO', 'STREAM', key)[8]             -- a log emptied by hand has an id, and no entry
end

local function is_beyond(id)
  return tonumber(string.match(id, '^%d+')) >= 2^53
end

-- decisions/0047: the log is written anew, since Redis forgets no id once generated or given: after XDEL, XSETID to a
-- smaller id is refused. PEXPIRE with -1 deletes, as producers' users have no DEL. Answers the last id left. A user
-- who may not add leaves the log alone.
local function take_out_what_is_beyond()
  if not (may('PEXPIRE', key) and may('XADD', key)) then return last_id() end
  local own = call('XRANGE', key, '-', '9007199254740991')
  call('PEXPIRE', key, -1)
  for _, entry in ipairs(own) do call('XADD', key, entry[1], unpack(entry[2])) end
  call('PEXPIRE', key, life)
  return last_id()
end

local function now_ms()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function next_id(last)
  local ms, n = now_ms(), tonumber(salt)
  local last_ms, last_n = string.match(last, '^(%d+)-(%d+)$')
  last_ms, last_n = tonumber(last_ms), tonumber(last_n)
  if ms <= last_ms then                              -- same millisecond, or a clock behind the last primary's
    ms, n = last_ms, last_n + 1 + n
    if n >= 2^52 then ms, n = ms + 1, tonumber(salt) end
  end
  return string.format('%.0f-%.0f', ms, n)
end

local function is_behind(reply)
  if type(reply) ~= 'table' or not reply.err then return false end
  return string.find(reply.err, 'equal or smaller', 1, true) or string.find(reply.err, 'exhausted', 1, true)
end

-- Append to any log: one that begins, or is empty, or ends ahead of the clock or behind a typed id.
local function append()
  local previous = last_id()
  if is_beyond(previous) then previous = take_out_what_is_beyond() end
  local position = next_id(previous)
  local reply = add(previous, position)
  -- decisions/0002: asked only after a refusal, so that the common way pays for no XINFO.
  if is_behind(reply) then
    previous = call('XINFO', 'STREAM', key)[8]       -- the newest entry was deleted by hand, and its id counts still
    if is_beyond(previous) then previous = take_out_what_is_beyond() end
    position = next_id(previous)
    reply = add(previous, position)
  end
  return previous, position, reply
end

-- The position of an earlier attempt's event, or the reason why that cannot be told; nil to append the event.
local function look()
  if is_beyond(last_id()) then take_out_what_is_beyond() end

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
      page = call('XRANGE', key, cursor, last, 'COUNT', 50)
      for _, entry in ipairs(page) do
        if field(entry, 'id') == ARGV[1] then return entry[1] end
        cursor = '(' .. entry[1]
      end
    until #page < 50
  end

  -- Whether entries of the time since the first attempt are gone: trimmed, or expired with their log. The first entry
  -- names the newest entry trimmed.
  local function is_lost(first, since)
    local previous = first and field(first, 'previous') or last_id()
    if previous == '' then previous = first[1] end   -- a typed entry names none: its own id errs to the safe side
    if previous ~= '0-0' then return ms_of(previous) >= since end
    local began = first and ms_of(first[1]) or now_ms()
    return began - since >= life - (#life < 8 and 0 or 1000)
  end

  local since = tonumber(ARGV[7])
  -- decisions/0020: first from the time itself on; then the margin, for a clock that was set back. Costs time only.
  local position = find(ARGV[7] .. '-0', '+')
  if not position and since > 0 then position = find(ARGV[8] .. '-0', '(' .. ARGV[7] .. '-0') end
  if position then
    redis.pcall('PEXPIRE', key, life)                -- a write, for WAIT on this connection to have one to wait for
    return position
  end
  local first = call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
  -- decisions/0020: on `latest` the value that this producer sent before is not newer; any other value since then is.
  if keep == '1' and first and field(first, 'id') == ARGV[9] then return nil end
  if is_lost(first, since) then return 'uncertain' end
  if keep == '1' and first and ms_of(first[1]) >= since then return 'newer' end
end

if ARGV[7] then
  local found = look()
  if found then return found .. ' 0' end
end
-- STATE
if not may('PEXPIRE', key) then return refused('PEXPIRE', key, life) end
if not may('PUBLISH', channel) then return refused('PUBLISH', channel, '') end
local previous, position, reply = append()
if type(reply) == 'table' and reply.err then return reply end
call('PEXPIRE', key, life)
-- The stored line with two keys in front: nothing is encoded again, and `redis-cli SUBSCRIBE` shows what clients read.
local spliced = '{"position":"' .. position .. '","previous":"' .. previous .. '",' .. string.sub(line, 2)
local receivers = call('PUBLISH', channel, spliced)
return position .. ' ' .. receivers
