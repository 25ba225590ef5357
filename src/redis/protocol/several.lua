-- A script for several locks.

local count = math.floor(#KEYS / 2)
local rest = count + 2
local fence = KEYS[2 * count + 1]
-- Those of the lock that is looked at.
local lock, queue, me

--#script

local answers = {}
for at = 1, count do
  lock, queue, me = KEYS[2 * at - 1], KEYS[2 * at], ARGV[at + 1]
  local done, answer = pcall(one)
  if not done then
    -- A text up to Redis 6.2, with the place in the script before it. Told as the server tells of a script that failed.
    local text = type(answer) == 'table' and answer.err or string.match(answer, '^@?user_script:%s*%d+:%s*%-?(.*)$') or answer
    answer = { err = text .. ' script: one of several' }
  end
  answers[at] = answer
end
return answers
