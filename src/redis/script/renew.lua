-- Lets our lease begin anew, or looks whether it is still ours.
--
-- ARGV   3 the lease in milliseconds; 0 only looks
--        4 'e' exactly this lease, also if that is shorter; else a longer one stays, since a renewal may come late
-- Answer 1 and as many more as are in the queue   ours
--        0                                        not ours, and nothing was changed

if call('GET', lock) ~= me then return 0 end
local waiting = call('LLEN', queue)
if ARGV[3] ~= '0' and (ARGV[4] == 'e' or call('PTTL', lock) < tonumber(ARGV[3])) then
  call('PEXPIRE', lock, ARGV[3])
end
return 1 + waiting
