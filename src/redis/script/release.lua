-- Frees our lock, or hands it to the first in the queue.
--
-- Answer 1, 0   it was ours
--        0, 0   it was not, and nothing was changed

if redis.call('GET', lock) ~= me then return { 0, 0 } end
-- A delete is allowed when memory is full, and after it the rest of the script is.
redis.call('DEL', lock)
promote()
return { 1, 0 }
