-- The asking side: an edge asks, looks after a question, or takes a question back. Atomic, and readable in MONITOR.
--
-- KEYS[1] the stream of questions   KEYS[2] the responders, by the time of the last beat
-- ARGV[1] the verb                  ARGV[2] ms after which a beat is stale
--
-- ask:   ARGV[3] id of the question     ARGV[5] the question   ARGV[7] ms until the deadline
--        ARGV[4] the channel's edge     ARGV[6] the caller     ARGV[8] the most questions in the stream
--        Answers {'asked', entry, deadline}, {'nobody'} or {'full'}.
-- look:  ARGV[3] the entry              KEYS[3] the answer     ARGV[4] key of a responder, without the id
--        ARGV[5] '1': whatever a dead responder held, or nobody is there to take, is taken out of the stream.
--        Answers {'answered', message}, {'waiting'}, {'taken', by}, {'died', by}, {'nobody'} or {'unknown'}.
-- leave: ARGV[3] the entry. A late answer finds nothing. Answers how many were there.
--
-- decisions/0104: a question is taken out in the same step that finds its responder dead. So an answer comes before
-- that step and is given, or after and finds nothing.

local questions, responders, entry = KEYS[1], KEYS[2], ARGV[3]
local group = 'responders'

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function is_anybody_there(now)
  return redis.call('ZCOUNT', responders, now - tonumber(ARGV[2]), '+inf') > 0
end

local function take_out()
  redis.pcall('XACK', questions, group, entry)
  return redis.call('XDEL', questions, entry)
end

local function ask()
  local now = now_ms()
  if not is_anybody_there(now) then return {'nobody'} end
  if redis.call('XLEN', questions) >= tonumber(ARGV[8]) then return {'full'} end
  local deadline = string.format('%d', now + tonumber(ARGV[7]))
  local asked = redis.call('XADD', questions, '*', 'id', ARGV[3], 'edge', ARGV[4], 'question', ARGV[5],
    'caller', ARGV[6], 'deadline', deadline)
  return {'asked', asked, deadline}
end

local function holder()
  local pending = redis.pcall('XPENDING', questions, group, entry, entry, 1)
  return not pending.err and pending[1] and pending[1][2]
end

local function look()
  local message = redis.call('GET', KEYS[3])
  if message then return {'answered', message} end
  if not redis.call('XRANGE', questions, entry, entry)[1] then return {'unknown'} end
  local by = holder()
  if by then
    if redis.call('EXISTS', ARGV[4] .. by) == 1 or ARGV[5] ~= '1' then return {'taken', by} end
    take_out()
    return {'died', by}
  end
  if is_anybody_there(now_ms()) or ARGV[5] ~= '1' then return {'waiting'} end
  take_out()
  return {'nobody'}
end

if ARGV[1] == 'ask' then return ask() end
if ARGV[1] == 'look' then return look() end
return take_out()
