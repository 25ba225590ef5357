-- A script for several locks.

local count = #KEYS / 3
local rest = count + 2
-- Those of the lock that is looked at.
local lock, queue, fence, me

--#script

local answers = {}
for at = 1, count do
  lock, queue, fence, me = KEYS[3 * at - 2], KEYS[3 * at - 1], KEYS[3 * at], ARGV[at + 1]
  local done, answer = pcall(one)
  if not done then
    -- A text up to Redis 6.2, with the place in the script before it. Told as the server tells of a script that failed.
    local text = type(answer) == 'table' and answer.err or string.match(answer, '^@?user_script:%s*%d+:%s*%-?(.*)$') or answer
    answer = { err = text .. ' script: one of several' }
  end
  answers[at] = answer
end
return answers
