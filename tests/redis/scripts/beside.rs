//! The modes beside scripts that do not know them, while a service is brought up to date process by process.

use super::table::{Answer, Table, exclusive, permit, shared};
use super::{BEFORE_MODES, INBOXES, KEYS, VERSION_0_1};

/// What others hold together excludes those who know exclusive locks only, and they are served in their turn.
#[test]
fn earlier_versions_are_kept_out_and_served_in_their_turn() {
    for (version, joining) in [(&BEFORE_MODES, "m60000"), (&VERSION_0_1, "m")] {
        for holders in [[shared(1), shared(2)], [permit(2, 1), permit(2, 2)]] {
            let mut table = Table::new();
            let mut inbox = table.listen();
            let mut earlier = table.version(version);
            let (acquire, release, renew) = (earlier.acquire.clone(), earlier.release.clone(), earlier.renew.clone());
            let highest = holders.each_ref().map(|token| table.join(token).number())[1];
            let me = exclusive(1);
            assert_eq!(earlier.run(&acquire, &[INBOXES, &me, "60000", "n"])[0], 2);
            assert_eq!(earlier.run(&acquire, &[INBOXES, &me, "60000", joining])[0], 0);
            for token in &holders {
                assert_eq!(earlier.run(&release, &[INBOXES, token])[0], 0, "nothing of theirs");
                assert_eq!(earlier.run(&renew, &[INBOXES, token, "60000"])[0], 0);
            }
            assert!(matches!(table.attempt(&shared(9)), Answer::Busy(_)), "nor is it overtaken");
            assert!(table.release(&holders[0]));
            assert!(inbox.granted(&mut table).is_empty());
            assert!(table.release(&holders[1]));
            let granted = inbox.granted(&mut table);
            assert!(
                matches!(granted.as_slice(), [(token, number, None)] if *token == me && *number > highest),
                "{granted:?}"
            );
            assert_eq!(earlier.run(&renew, &[INBOXES, &me, "60000"])[0], 1);
            assert!(matches!(table.attempt(&shared(9)), Answer::Busy(_)));
            assert_eq!(earlier.run(&release, &[INBOXES, &me])[0], 1);
            assert!(table.attempt(&shared(9)).number() > granted[0].1);
        }
    }
}

/// A waiter of any mode that an earlier version grants the lock to has it alone, until it is released.
#[test]
fn an_earlier_version_grants_every_mode_exclusively() {
    for (version, joining) in [(&BEFORE_MODES, "m60000"), (&VERSION_0_1, "m")] {
        for tokens in [[shared(1), shared(2), shared(3)], [permit(2, 1), permit(2, 2), permit(2, 3)]] {
            let mut table = Table::new();
            let mut inbox = table.listen();
            let mut earlier = table.version(version);
            let (acquire, release) = (earlier.acquire.clone(), earlier.release.clone());
            assert_eq!(earlier.run(&acquire, &[INBOXES, &exclusive(1), "60000", joining])[0], 1);
            assert!(matches!(table.join(&tokens[0]), Answer::Queued(_)));
            assert!(matches!(table.join(&tokens[1]), Answer::Queued(_)));
            assert_eq!(earlier.run(&release, &[INBOXES, &exclusive(1)])[0], 1);
            let granted = inbox.granted(&mut table);
            assert!(matches!(granted.as_slice(), [(token, _, None)] if *token == tokens[0]), "{granted:?}");
            assert_eq!(table.value(), Some(tokens[0].clone()));
            assert_eq!(table.renew(&tokens[0], &["60000"]), Some(1));
            assert!(matches!(table.attempt(&tokens[2]), Answer::Busy(_)));
            let again = table.join(&tokens[0]);
            assert!(again.number() > granted[0].1);
            if tokens[0] == permit(2, 1) {
                assert_eq!(again.permit(), 0, "held by nobody else meanwhile");
            }
            assert!(table.release(&tokens[0]));
            let granted: Vec<String> = inbox.granted(&mut table).into_iter().map(|(token, ..)| token).collect();
            assert_eq!(granted, [tokens[1].clone()]);
            table.attempt(&tokens[2]).number();
            assert_eq!(table.holders().len(), 2, "from then on together");
        }
    }
}

/// A hold that an earlier version has granted counts for nothing that was left of holders before it.
#[test]
fn holders_that_are_left_do_not_come_back_after_an_earlier_version() {
    let mut table = Table::new();
    let mut earlier = table.version(&BEFORE_MODES);
    let (acquire, release) = (earlier.acquire.clone(), earlier.release.clone());
    table.attempt(&permit(2, 1)).number();
    let _: i64 = table.ask(&["DEL", KEYS[0]]).unwrap();
    assert_eq!(earlier.run(&acquire, &[INBOXES, &exclusive(1), "60000", "n"])[0], 1);
    assert_eq!(earlier.run(&release, &[INBOXES, &exclusive(1)])[0], 1);
    assert_eq!(table.attempt(&permit(2, 2)).permit(), 0);
    assert_eq!(table.renew(&permit(2, 1), &["60000"]), None);
    assert_eq!(table.holders(), [(permit(2, 2), Some(0))]);
}
