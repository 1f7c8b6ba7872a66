use super::*;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

#[track_caller]
fn charge(account: &Account, bytes: u64) -> Charge {
    account.charge(usize::try_from(bytes).expect("it fits")).expect("there is room")
}

#[test]
fn a_small_call_asks_nobody() {
    let all = Account::all(64 * MIB);
    let plugin = all.plugin(32 * MIB);
    let call = plugin.call(MIB);
    let held = charge(&call, 16 * KIB);
    assert_eq!((call.held(), plugin.held(), all.held()), (16 * KIB, 0, 0));
    drop(held);
    assert_eq!((call.held(), call.peak()), (0, 16 * KIB));
}

#[test]
fn a_larger_one_draws_in_blocks_and_leaves_nothing_behind() {
    let all = Account::all(64 * MIB);
    let plugin = all.plugin(32 * MIB);
    let call = plugin.call(20 * MIB);
    let small = charge(&call, 17 * KIB);
    assert_eq!((plugin.held(), all.held()), (64 * KIB, 0), "one block, of what is the plugin's own");
    let large = charge(&call, 10 * MIB);
    assert_eq!((plugin.held(), all.held()), (10 * MIB + 64 * KIB, 6 * MIB + 64 * KIB));
    drop(large);
    assert_eq!((plugin.held(), all.held()), (64 * KIB, 0));
    drop(call);
    assert_eq!(plugin.held(), 64 * KIB, "the charge still counts");
    drop(small);
    assert_eq!((plugin.held(), all.held()), (0, 0));
    assert_eq!((plugin.peak(), all.peak()), (10 * MIB + 64 * KIB, 6 * MIB + 64 * KIB));
}

#[test]
fn every_bound_refuses_and_charges_nothing() {
    let all = Account::all(16 * MIB);
    let plugin = all.plugin(6 * MIB);
    let call = plugin.call(MIB);
    let refused = call.charge(2 << 20).expect_err("it is more than a call may hold");
    assert_eq!(refused, Exceeded { scope: Scope::Call, limit: MIB, held: 0, wanted: 2 * MIB });
    let other = plugin.call(16 * MIB);
    let refused = other.charge(7 << 20).expect_err("it is more than a plugin may hold");
    assert_eq!((refused.scope, refused.limit), (Scope::Plugin, 6 * MIB));
    assert_eq!((call.held(), other.held(), plugin.held(), all.held()), (0, 0, 0, 0));
    assert_eq!((call.refused(), plugin.refused(), all.refused()), (1, 1, 0));
    let mut growing = charge(&other, MIB);
    assert_eq!(growing.grow(10 << 20).expect_err("there is no room").scope, Scope::Plugin);
    assert_eq!((growing.bytes(), other.held()), (MIB, MIB), "it is as it was");
}

#[test]
fn greedy_plugins_leave_room_for_the_next_one() {
    let all = Account::all(100 * MIB);
    let plugins: Vec<Account> = (0..9).map(|_| all.plugin(100 * MIB)).collect();
    let mut held = Vec::new();
    loop {
        let before = held.len();
        held.extend(plugins.iter().filter_map(|plugin| plugin.charge(1 << 20).ok()));
        if held.len() == before {
            break;
        }
    }
    for plugin in &plugins {
        assert_eq!(plugin.held(), 10 * MIB + MemoryBounds::OWN, "a tenth for each of nine");
    }
    assert_eq!(all.held(), 90 * MIB);
    let next = all.plugin(100 * MIB);
    let _kept = charge(&next, 5 * MIB);
    let alone = Account::all(100 * MIB);
    let only = alone.plugin(100 * MIB);
    let refused = only.charge(60 << 20).expect_err("half is for the others");
    assert_eq!(refused.scope, Scope::All);
    let _half = charge(&only, 50 * MIB + MemoryBounds::OWN);
}

#[test]
fn threads_that_take_and_give_back_at_once_leave_nothing_behind() {
    let all = Account::all(1 << 30);
    let plugin = all.plugin(1 << 30);
    let call = plugin.call(1 << 29);
    std::thread::scope(|scope| {
        for thread in 1..=4_usize {
            let call = call.clone();
            scope.spawn(move || {
                let mut charge = call.nothing();
                for turn in 0..20_000_usize {
                    charge.grow(thread * (turn % 97) * 100).expect("there is room");
                    if turn % 5 == 0 {
                        charge.shrink(thread * 20_000);
                    }
                    if turn % 31 == 0 {
                        charge = call.nothing();
                    }
                }
            });
        }
    });
    assert_eq!(call.held(), 0);
    drop(call);
    assert_eq!((plugin.held(), all.held()), (0, 0));
}
