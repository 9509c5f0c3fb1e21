//! ARNs as far as they matter here: what of QLDB they name. Region and account are not looked at.

/// The last part of `arn:PARTITION:qldb:REGION:ACCOUNT:RESOURCE`; `None` if it is no ARN of QLDB's.
pub fn qldb_resource(arn: &str) -> Option<&str> {
    match arn.splitn(6, ':').collect::<Vec<_>>()[..] {
        ["arn", _, "qldb", _, _, resource] => Some(resource),
        _ => None,
    }
}
