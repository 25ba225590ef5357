-- A script for one lock, which is most of them: without the function that one for several makes each time.

local lock, queue, fence, me = KEYS[1], KEYS[2], KEYS[3], ARGV[2]
local rest = 3

--#script
