//! How much memory the server may count on: the machine's, or what its container is limited to.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// A machine of which nothing is known is taken for one of this memory.
const UNKNOWN_MACHINE_BYTES: u64 = 4 << 30;
/// Where control groups are found.
const CGROUPS: &str = "/sys/fs/cgroup";

/// A sixteenth of the memory, and not less than 64 MiB nor more than 1 GiB: what a cache gets that gives back much of the
/// time a disk takes, of which there may be one for each ledger.
pub fn sixteenth_of_memory() -> u64 {
    static BYTES: OnceLock<u64> = OnceLock::new();
    *BYTES.get_or_init(|| (memory_bytes().unwrap_or(UNKNOWN_MACHINE_BYTES) / 16).clamp(64 << 20, 1 << 30))
}

/// The memory of the machine, or the least limit of the control groups that the process is in, or the mark from which on
/// their memory is taken back (Linux: proc(5), "Control Group v2" and "v1 memory" in the kernel's documentation). Elsewhere
/// nothing is known.
fn memory_bytes() -> Option<u64> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| total(&text));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    limit_files(&groups).iter().filter_map(|file| read(Path::new(file))?.trim().parse().ok()).chain(machine).min()
}

/// What `/proc/meminfo` says there is in all.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The files that may hold a limit, by `/proc/self/cgroup`: those of the groups that the process is in and of the ones
/// around them. In a container the groups may be named as they are seen from outside, and then stand at the root.
fn limit_files(groups: &str) -> Vec<String> {
    let mut files =
        ["memory.max", "memory.high", "memory/memory.limit_in_bytes"].map(|f| format!("{CGROUPS}/{f}")).to_vec();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let (below, names) = match controllers {
            "" => ("", &["memory.max", "memory.high"][..]),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                ("/memory", &["memory.limit_in_bytes"][..])
            }
            _ => continue,
        };
        let mut directory = format!("{CGROUPS}{below}");
        for part in group.split('/').filter(|part| !part.is_empty()) {
            directory.extend(["/", part]);
            files.extend(names.iter().map(|name| format!("{directory}/{name}")));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_in_bytes() {
        assert_eq!(total("MemFree:  1 kB\nMemTotal:       24689764 kB\nSwap: 0 kB\n"), Some(24_689_764 << 10));
        assert_eq!(total("MemTotal: much"), None);
        assert_eq!(total(""), None);
        assert_eq!(total("MemTotal: 99999999999999999999 kB"), None);
        assert_eq!(total("MemTotal: 18446744073709551615 kB"), None);
    }

    #[test]
    fn limits_are_looked_for_in_every_group_around_the_process() {
        let roots =
            ["memory.max", "memory.high", "memory/memory.limit_in_bytes"].map(|f| format!("/sys/fs/cgroup/{f}"));
        assert_eq!(limit_files(""), roots);
        assert_eq!(limit_files("0::/\nnonsense\n1:cpu:/a\n"), roots);
        let of_two = limit_files("0::/system.slice/ledgerstone.service\n");
        assert_eq!(
            of_two[3..],
            [
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/system.slice/memory.high",
                "/sys/fs/cgroup/system.slice/ledgerstone.service/memory.max",
                "/sys/fs/cgroup/system.slice/ledgerstone.service/memory.high"
            ]
        );
        assert_eq!(limit_files("7:cpu,memory:/a:b")[3..], ["/sys/fs/cgroup/memory/a:b/memory.limit_in_bytes"]);
    }

    #[test]
    fn the_part_stays_within_its_bounds() {
        assert!((64 << 20..=1 << 30).contains(&sixteenth_of_memory()));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_memory_of_this_machine_is_found() {
        assert!(memory_bytes().unwrap() > 64 << 20);
    }
}
