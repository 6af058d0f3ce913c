//! The bodies of the coverage-guided fuzz targets (`fuzz/`) that are this crate's, a million executions each.

use harness::{EXECUTIONS, run};

#[path = "../../../../fuzz/bodies/certificate.rs"]
mod certificate;
#[path = "../../../../fuzz/harness.rs"]
mod harness;
#[path = "../../../../fuzz/bodies/ocsp_request.rs"]
mod ocsp_request;
#[path = "../../../../fuzz/bodies/ocsp_response.rs"]
mod ocsp_response;
#[path = "../../../../fuzz/bodies/path.rs"]
mod path;
#[path = "../../../../fuzz/bodies/revocation_list.rs"]
mod revocation_list;

#[test]
fn certificate_bodies() {
    run("certificate", EXECUTIONS, certificate::run);
}

#[test]
fn revocation_list_bodies() {
    run("revocation_list", EXECUTIONS, revocation_list::run);
}

#[test]
fn ocsp_request_bodies() {
    run("ocsp_request", EXECUTIONS, ocsp_request::run);
}

#[test]
fn ocsp_response_bodies() {
    run("ocsp_response", EXECUTIONS, ocsp_response::run);
}

#[test]
fn path_bodies() {
    run("path", EXECUTIONS, path::run);
}
