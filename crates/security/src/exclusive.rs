//! A topic with one writer: `GRANT WRITE ON TOPIC t TO user EXCLUSIVE`.
//!
//! While it stands, WRITE to the topic is denied to everybody else, super users too, and allowed to the writer unless a rule
//! denies it. Kafka has no such rule: there a denial for everybody would hit the writer, since denials come first. What can be said
//! in Kafka's words is shown beside the rules, see [`shown`]: the writer is allowed, and each of those whom another rule allows to
//! write is denied. It is kept with the rules, and only what made it takes it away.

use std::collections::HashMap;

use crate::{
    Principal,
    acl::{Acl, Operation, Pattern, Permission, ResourceType, WILDCARD},
    authorizer::{AclSet, Resource},
};

/// Topics with one writer, and who it is.
pub type Writers = HashMap<String, Principal>;

/// The same as Kafka's rules, as far as these go.
pub(crate) fn shown(rules: &AclSet) -> Vec<Acl> {
    let mut shown = Vec::new();
    for (topic, writer) in rules.writers() {
        let rule = |principal: &str, host: &str, permission| Acl {
            resource_type: ResourceType::Topic,
            resource: topic.clone(),
            pattern: Pattern::Literal,
            principal: principal.to_owned(),
            host: host.to_owned(),
            operation: Operation::Write,
            permission,
        };
        shown.push(rule(writer.as_str(), WILDCARD, Permission::Allow));
        let others = rules.rules_for(Resource { kind: ResourceType::Topic, name: topic }).filter(|other| {
            other.permission == Permission::Allow
                && matches!(other.operation, Operation::Write | Operation::All)
                && other.principal != writer.as_str()
                && other.principal != Principal::EVERYBODY
        });
        shown.extend(others.map(|other| rule(&other.principal, &other.host, Permission::Deny)));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorizer::{Asker, Decision, Exceptions, Why};

    fn acl(principal: &str, operation: Operation, permission: Permission, resource: &str, pattern: Pattern) -> Acl {
        let (resource, principal) = (resource.to_owned(), principal.to_owned());
        let (resource_type, host) = (ResourceType::Topic, WILDCARD.to_owned());
        Acl { resource_type, resource, pattern, principal, host, operation, permission }
    }

    fn exclusive(rules: &[Acl]) -> AclSet {
        let mut set = AclSet::default();
        rules.iter().cloned().for_each(|acl| set.insert(acl));
        set.set_writer("t", Some(Principal::user("w")));
        set
    }

    fn ask(set: &AclSet, who: &str, operation: Operation, topic: &str) -> Decision {
        let principal = Principal::user(who);
        let except = Exceptions { super_users: [Principal::user("root")].into(), allow_if_no_acl: true };
        let asker = Asker { principal: &principal, host: "10.0.0.1".parse().expect("an address") };
        set.authorize(&except, asker, operation, Resource { kind: ResourceType::Topic, name: topic })
    }

    #[test]
    fn one_may_write_and_nobody_else_not_even_super_users() {
        let everybody = acl(Principal::EVERYBODY, Operation::All, Permission::Allow, "", Pattern::Prefixed);
        for rules in [vec![], vec![everybody]] {
            let set = exclusive(&rules);
            assert!(ask(&set, "w", Operation::Write, "t").is_allowed());
            assert!(ask(&set, "w", Operation::Describe, "t").is_allowed(), "writing implies describing");
            for other in ["root", "a"] {
                assert_eq!(ask(&set, other, Operation::Write, "t"), Decision::Denied(Why::OneWriter), "{other}");
                assert!(ask(&set, other, Operation::Write, "u").is_allowed(), "{other}: other topics are as they were");
            }
            assert!(ask(&set, "root", Operation::Read, "t").is_allowed(), "only writing is");
        }
        let mut set = exclusive(&[]);
        set.set_writer("t", None);
        assert!(ask(&set, "root", Operation::Write, "t").is_allowed());
    }

    #[test]
    fn a_super_user_may_be_the_writer_and_a_denial_beats_it_for_others() {
        let mut set = exclusive(&[]);
        set.set_writer("t", Some(Principal::user("root")));
        assert!(ask(&set, "root", Operation::Write, "t").is_allowed());
        assert!(!ask(&set, "w", Operation::Write, "t").is_allowed());
        let set = exclusive(&[acl("User:w", Operation::Write, Permission::Deny, "t", Pattern::Literal)]);
        assert_eq!(ask(&set, "w", Operation::Write, "t"), Decision::Denied(Why::DenyRule));
    }

    #[test]
    fn a_topic_with_one_writer_has_a_rule() {
        // `allow.everyone.if.no.acl.found` is no longer for it.
        assert_eq!(ask(&exclusive(&[]), "a", Operation::Read, "t"), Decision::Denied(Why::NoAllowRule));
    }

    #[test]
    fn it_lets_a_producer_without_other_rights_begin() {
        let (principal, other) = (Principal::user("w"), Principal::user("a"));
        let host = "10.0.0.1".parse().expect("an address");
        let may = |who| {
            let asker = Asker { principal: who, host };
            let set = exclusive(&[]);
            set.authorize_any(&Exceptions::default(), asker, Operation::Write, ResourceType::Topic).is_allowed()
        };
        assert!(may(&principal));
        assert!(!may(&other));
    }

    #[test]
    fn it_is_shown_as_what_is_allowed_and_who_is_denied() {
        let set = exclusive(&[
            acl("User:a", Operation::All, Permission::Allow, "t", Pattern::Literal),
            acl("User:b", Operation::Write, Permission::Allow, "", Pattern::Prefixed),
            acl("User:c", Operation::Read, Permission::Allow, "t", Pattern::Literal),
            acl("User:d", Operation::Write, Permission::Allow, "other", Pattern::Literal),
            acl("User:w", Operation::Write, Permission::Allow, "t", Pattern::Literal),
            acl("User:*", Operation::Write, Permission::Allow, "*", Pattern::Literal),
        ]);
        let mut shown: Vec<_> = shown(&set).into_iter().map(|acl| (acl.permission, acl.principal)).collect();
        shown.sort();
        let expected = [(Permission::Deny, "User:a"), (Permission::Deny, "User:b"), (Permission::Allow, "User:w")];
        assert_eq!(shown, expected.map(|(permission, who)| (permission, who.to_owned())));
    }
}
