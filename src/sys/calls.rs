//! The system calls that a sandboxed program does not get: a filter for seccomp(2).

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};
use std::collections::BTreeMap;

/// The bit of system calls of the x32 ABI.
const X32: i64 = 0x4000_0000;
/// fchmodat2(2), which libc does not know everywhere.
const FCHMODAT2: i64 = 452;

/// When a call is refused: the number of an argument, how it is compared, and with what.
type Unless = (u8, SeccompCmpOp, u64);

/// An argument that has any of `bits`.
const fn has(argument: u8, bits: u64) -> Unless {
    (argument, SeccompCmpOp::MaskedEq(bits), bits)
}

/// An argument that is not zero: another process than the caller.
const fn is_other(argument: u8) -> Unless {
    (argument, SeccompCmpOp::Ne, 0)
}

const fn is(argument: u8, value: u64) -> Unless {
    (argument, SeccompCmpOp::Eq, value)
}

const SET_UID: u64 = libc::S_ISUID as u64;
const CREATE: u64 = libc::O_CREAT as u64;

/// The calls, each with when it is refused: always, or when one of these holds.
const REFUSED: &[(i64, &[&[Unless]])] = &[
    // By a handle a file is opened past all mounts (open_by_handle_at(2)).
    (libc::SYS_name_to_handle_at, &[]),
    (libc::SYS_open_by_handle_at, &[]),
    // The keys of the user's session (keyrings(7)).
    (libc::SYS_add_key, &[]),
    (libc::SYS_keyctl, &[]),
    (libc::SYS_request_key, &[]),
    // What is asked for through a ring is no system call, and would pass by.
    (libc::SYS_io_uring_setup, &[]),
    // The limits and the priority of another process: it can be made to fail, or to starve.
    (libc::SYS_prlimit64, &[&[is_other(0)]]),
    (libc::SYS_sched_setaffinity, &[&[is_other(0)]]),
    (libc::SYS_sched_setattr, &[&[is_other(0)]]),
    (libc::SYS_sched_setparam, &[&[is_other(0)]]),
    (libc::SYS_sched_setscheduler, &[&[is_other(0)]]),
    (libc::SYS_setpriority, &[&[is_other(1)], &[is(0, libc::PRIO_USER as u64)]]),
    // IOPRIO_WHO_USER is 3.
    (libc::SYS_ioprio_set, &[&[is_other(1)], &[is(0, 3)]]),
    // A set-uid file in the project would outlive the sandbox.
    (libc::SYS_fchmod, &[&[has(1, SET_UID)]]),
    (libc::SYS_fchmodat, &[&[has(2, SET_UID)]]),
    (FCHMODAT2, &[&[has(2, SET_UID)]]),
    (libc::SYS_mknodat, &[&[has(2, SET_UID)]]),
    (libc::SYS_openat, &[&[has(2, CREATE), has(3, SET_UID)]]),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, &[&[has(1, SET_UID)]]),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_creat, &[&[has(1, SET_UID)]]),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mknod, &[&[has(1, SET_UID)]]),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, &[&[has(1, CREATE), has(2, SET_UID)]]),
];

/// The filter; what it refuses fails with `EACCES`.
///
/// # Errors
/// The library does not know this processor.
pub(super) fn filter(network: bool) -> Result<BpfProgram, Box<dyn std::error::Error>> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for (number, when) in REFUSED {
        rules.insert(*number, when.iter().map(|when| rule(when)).collect::<Result<_, _>>()?);
    }
    if !network {
        let foreign = rule(&[(0, SeccompCmpOp::Ne, libc::AF_UNIX as u64)])?;
        rules.insert(libc::SYS_socket, vec![foreign]);
    }
    if cfg!(target_arch = "x86_64") {
        let same: Vec<_> = rules.iter().map(|(number, rules)| (number | X32, rules.clone())).collect();
        rules.extend(same);
    }
    let refused = SeccompAction::Errno(u32::try_from(libc::EACCES)?);
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch)?.try_into()?;
    Ok(without_openat2().into_iter().chain(filter).collect())
}

fn rule(when: &[Unless]) -> Result<SeccompRule, BackendError> {
    let condition = |(argument, operator, value): &Unless| {
        SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, operator.clone(), *value)
    };
    SeccompRule::new(when.iter().map(condition).collect::<Result<_, _>>()?)
}

/// openat2(2) has the mode of a new file where no filter can look: programs go on without it, as on an older system. Its
/// number is the same on all processors, so that this comes before the processor is looked at.
fn without_openat2() -> [sock_filter; 4] {
    let line = |code: u32, jt: u8, jf: u8, k: u32| sock_filter { code: code as u16, jt, jf, k };
    let (load, compare, end) =
        (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JEQ, libc::BPF_RET);
    let number = libc::SYS_openat2 as u32;
    [
        line(load, 0, 0, 0),
        line(compare, 1, 0, number),
        line(compare, 0, 1, number | X32 as u32),
        line(end, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_fits_the_kernel_and_says_more_without_the_network() {
        let (with, without) = (filter(true).unwrap(), filter(false).unwrap());
        assert!(with.len() < without.len() && without.len() < 4096, "{} {}", with.len(), without.len());
    }
}
