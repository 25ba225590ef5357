-- The frame of a script for several locks.

local count = math.floor(#KEYS / 2)
local first_arg = count + 2
local fence = KEYS[2 * count + 1]
-- Of the lock whose turn it is.
local lock, queue, my_token
-- Its key is not among those of the call: few locks need it, and to read one more key costs a server a twelfth of what it does
-- for a lock. Calls for several locks are never sent to a cluster, whose nodes have to know the keys.
local holders

--#script

local answers = {}
for index = 1, count do
  lock, queue, my_token, holders = KEYS[2 * index - 1], KEYS[2 * index], ARGV[index + 1], nil
  local succeeded, answer = pcall(run)
  if not succeeded then
    -- Up to Redis 6.2 the error is a string that begins with the line of the script. The answer has the form in which the
    -- server reports the error of a script.
    local text = type(answer) == 'table' and answer.err or string.match(answer, '^@?user_script:%s*%d+:%s*%-?(.*)$') or answer
    answer = { err = text .. ' script: one of several' }
  end
  answers[index] = answer
end
return answers
