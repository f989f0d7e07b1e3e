//! LH06xx: who may come in, and what they may do.
codes! {
    LISTENER_UNPROTECTED = "LH0601" ConfigInvalid "a door would be open to everyone in reach"
        "The door is told to listen on an address that other machines can reach, and asks nobody who they are: anyone there could read, write and delete everything. Listen on a loopback address (127.0.0.1), or have clients prove who they are: the protocol SASL_SSL (or SASL_PLAINTEXT on a network you trust), or SSL with client certificates required. In a container whose port is published on the host's loopback only, the setting `unsafe_open_to_everyone` says that this is meant.";
    SECURITY_SETTINGS_INVALID = "LH0602" ConfigInvalid "settings of the security contradict each other"
        "The detail names what is missing: protocols with TLS need a certificate and a key, client certificates need the roots they lead to, OAUTHBEARER needs keys (JWKS), issuer and audience. Nothing was started.";
    CERTIFICATE_INVALID = "LH0603" ConfigInvalid "a certificate, key or list of keys cannot be used"
        "The detail names the file and what is wrong with it. At a start nothing is opened; when a file changes while the node runs, what was read before stays in use until the file is right. Certificates and keys are PEM, the certificate of the door first; keys are PKCS#8, PKCS#1 or SEC1 without a password; JWKS is RFC 7517.";
    CREDENTIAL_INVALID = "LH0604" InvalidValue "a user's credential cannot be kept"
        "A user's name has 1 to 256 bytes. SCRAM credentials have 4096 to 16384 iterations and a salt of 1 to 1024 bytes.";
    SECURITY_LIMIT = "LH0605" PolicyViolation "too many users or rules"
        "Users and rules are kept in memory, and their number is limited. Use prefixed rules in place of one for each resource, or groups of users who share a principal.";
    NOT_ALLOWED = "LH0606" Forbidden "a rule says no, or none says yes"
        "The door has an authorizer, and no rule lets this user do this to this resource from this host. `kafka-acls --add` makes rules, super users need none. Refusals are recorded in the topic `_audit`.";
    ONE_WRITER = "LH0607" Conflict "a topic cannot have this user as its only writer"
        "A topic has at most one exclusive writer, and the rule needs the door's authorizer to be obeyed. `REVOKE` takes the present writer away; the detail says who it is.";
}
