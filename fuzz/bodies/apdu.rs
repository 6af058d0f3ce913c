//! Command and response APDUs: whatever parses is written back to octets that mean the same.

use card::apdu::{CommandApdu, CommandBuilder, ResponseApdu};

pub(super) fn run(data: &[u8]) {
    if let Ok(response) = ResponseApdu::parse(data) {
        assert_eq!(response.data.len() + 2, data.len());
    }
    let Ok(command) = CommandApdu::parse(data) else {
        return;
    };
    let mut builder =
        CommandBuilder::new(command.cla, command.ins, command.p1, command.p2).data(command.data);
    if let Some(ne) = command.expected {
        builder = builder.expect(ne);
    }
    let written = builder.encode().expect("what was parsed can be written");
    let again = CommandApdu::parse(&written).expect("what was written can be parsed");
    assert_eq!(
        (again.cla, again.ins, again.p1, again.p2, again.data, again.expected),
        (command.cla, command.ins, command.p1, command.p2, command.data, command.expected)
    );
}
