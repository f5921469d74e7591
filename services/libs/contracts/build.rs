//! Generates the market's client and server from its proto, with no installed protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "proto/market/v1/market.proto";
    println!("cargo:rerun-if-changed={proto}");
    let descriptors = protox::compile([proto], ["proto"])?;
    tonic_prost_build::configure().build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
