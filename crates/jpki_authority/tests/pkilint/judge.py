"""Runs pkilint over a folder in one process: its start takes longer than a hundred certificates.

Reads *.cer, *.crl and *.ocsp in DER. Prints one line for each finding, tab-separated:
file, severity, code, place, what is said; and at the end the count of what was read.
"""

import pathlib
import sys

from pkilint import loader, pkix
from pkilint.pkix import certificate, crl, extension, name, ocsp


def certificates():
    """As lint_pkix_cert has it."""
    return loader.RFC5280CertificateDocumentLoader(), certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


def decoders():
    return [
        pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
        pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
    ]


def lists():
    """As lint_crl --type CRL --profile PKIX has it."""
    return loader.RFC5280CertificateListDocumentLoader(), crl.create_pkix_crl_validator_container(
        decoders(),
        [
            crl.create_issuer_validator_container([]),
            crl.create_validity_validator_container([]),
            crl.create_extensions_validator_container([]),
        ],
    )


def responses():
    """As lint_ocsp_response has it."""
    return loader.RFC6960OCSPResponseDocumentLoader(), ocsp.create_pkix_ocsp_response_validator_container(
        [ocsp.create_response_decoder(), *decoders()], []
    )


def main(folder):
    judges = {".cer": certificates(), ".crl": lists(), ".ocsp": responses()}
    count = 0
    for path in sorted(pathlib.Path(folder).iterdir()):
        if path.suffix not in judges:
            continue
        reader, validator = judges[path.suffix]
        document = reader.load_der_document(path.read_bytes(), path.name)
        count += 1
        for result in validator.validate(document.root):
            for found in result.finding_descriptions:
                said = (found.message or "").replace("\n", " ").replace("\t", " ")
                print(path.name, found.finding.severity.name, found.finding.code, result.node.path, said, sep="\t")
    print("read", count, sep="\t")


main(sys.argv[1])
