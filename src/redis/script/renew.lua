-- Lets our lease begin anew, or looks whether it is still ours.
--
-- ARGV   3 the lease in milliseconds; 0 only looks
-- Answer 1, others in the queue   ours
--        0, 0                     not ours, and nothing was changed

if call('GET', lock) ~= me then return { 0, 0 } end
if ARGV[3] ~= '0' then call('PEXPIRE', lock, ARGV[3]) end
return { 1, call('LLEN', queue) }
