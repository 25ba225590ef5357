-- The beginning of every script.
--
-- KEYS   1 the lock: a plain string, the owner's token, which expires with the lease
--        2 the queue: a list of entries "deadline:ttl:mode:token", first come, first served
--        3 the fence: the number of the latest grant
-- ARGV   1 the beginning of every inbox's name, or nothing if this client may not publish
--        2 the token of whoever asks; up to the first dot it names its inbox
--
-- What is kept true, by every script, since each runs alone:
--   S1  A lock is taken only while it is free, and only its owner's token extends, frees or hands it on.
--   S2  Every grant has a number above those of all grants before it, also if the clock went back.
--   S3  Nobody is granted a free lock while somebody who is alive stands before it in the queue.
--   S4  A script that fails has told nobody of a grant that it has not made, and has changed nothing that its caller
--       does not undo: reads come before writes, and a grant is made before it is told.
--
-- What a script does when nobody waits comes first, and what it needs besides is included after it: a server makes
-- everything that a script defines each time that it runs. For the same reason an answer of one number is no list, and a
-- number that a command is given is written as a text.

local call = redis.call
local lock, queue, fence = KEYS[1], KEYS[2], KEYS[3]
local inboxes, me = ARGV[1], ARGV[2]
