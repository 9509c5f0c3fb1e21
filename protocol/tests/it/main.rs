//! The committed code is what the `.proto` files generate.

use std::path::Path;

#[test]
fn generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["ledgerstone/v1/ledger.proto", "ledgerstone/v1/digest.proto"];
    let descriptors = protox::compile(files, [root.join("proto")]).expect("the .proto files compile");
    let regenerate = std::env::var_os("LEDGERSTONE_REGENERATE").is_some();
    let out = if regenerate { root.join("src/gen") } else { std::env::temp_dir().join("ledgerstone-protocol-gen") };
    std::fs::create_dir_all(&out).expect("a folder for the generated code");
    tonic_prost_build::configure().out_dir(&out).compile_fds(descriptors).expect("the code is generated");
    let name = "ledgerstone.v1.rs";
    let fresh = std::fs::read_to_string(out.join(name)).expect("generated");
    let committed = std::fs::read_to_string(root.join("src/gen").join(name)).expect("committed");
    assert!(
        fresh == committed,
        "src/gen/{name} is stale: run LEDGERSTONE_REGENERATE=1 cargo test -p ledgerstone-protocol"
    );
}
