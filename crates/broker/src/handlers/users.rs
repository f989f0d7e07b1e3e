//! Users and their salted passwords (KIP-554): listed without their secrets, made, changed and taken away.

use std::collections::{BTreeMap, HashMap};

use kafka_protocol::{
    messages::{
        AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, DescribeUserScramCredentialsRequest,
        DescribeUserScramCredentialsResponse,
        alter_user_scram_credentials_request::{ScramCredentialDeletion, ScramCredentialUpsertion},
        alter_user_scram_credentials_response::AlterUserScramCredentialsResult,
        describe_user_scram_credentials_response::{CredentialInfo, DescribeUserScramCredentialsResult},
    },
    protocol::StrBytes,
};
use security::{
    scram::{Credential, ScramHash},
    users::{self, Change, UserKey},
};

use super::{errors, told};
use crate::{
    access::{CLUSTER, Operation},
    dispatch::Context,
};

pub(crate) async fn describe(
    context: &Context,
    request: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    if let Err(code) = context.authorize(Operation::Describe, CLUSTER) {
        return DescribeUserScramCredentialsResponse::default().with_error_code(code).with_error_message(None);
    }
    let known = context.shared.security.users.list();
    let mut asked: BTreeMap<StrBytes, usize> = BTreeMap::new();
    for user in request.users.unwrap_or_default() {
        *asked.entry(user.name).or_default() += 1;
    }
    if asked.is_empty() {
        asked = known.keys().map(|user| (StrBytes::from_string(user.clone()), 1)).collect();
    }
    let results = asked.into_iter().map(|(user, times)| {
        let row = DescribeUserScramCredentialsResult::default();
        let failed = |code, why: &'static str| {
            DescribeUserScramCredentialsResult::default().with_error_code(code).with_error_message(Some(why.into()))
        };
        let row = match known.get(user.as_str()) {
            _ if times > 1 => failed(errors::DUPLICATE_RESOURCE, "the request names this user more than once"),
            None => failed(errors::RESOURCE_NOT_FOUND, "there is no such user with a password"),
            Some(credentials) => {
                let info = |(hash, iterations): &(ScramHash, u32)| {
                    CredentialInfo::default().with_mechanism(*hash as i8).with_iterations(*iterations as i32)
                };
                row.with_credential_infos(credentials.iter().map(info).collect())
            }
        };
        row.with_user(user)
    });
    DescribeUserScramCredentialsResponse::default().with_results(results.collect())
}

/// All changes of a user, or none of them.
pub(crate) async fn alter(
    context: &Context,
    request: AlterUserScramCredentialsRequest,
) -> AlterUserScramCredentialsResponse {
    let mut users: BTreeMap<StrBytes, Asked<'_>> = BTreeMap::new();
    for deletion in &request.deletions {
        users.entry(deletion.name.clone()).or_default().deletions.push(deletion);
    }
    for upsertion in &request.upsertions {
        users.entry(upsertion.name.clone()).or_default().upsertions.push(upsertion);
    }
    let mut results: HashMap<StrBytes, (i16, Option<StrBytes>)> = HashMap::new();
    let mut changes = Vec::new();
    if let Err(code) = context.authorize(Operation::Alter, CLUSTER) {
        results.extend(users.keys().map(|user| (user.clone(), (code, None))));
    } else {
        for (user, asked) in &users {
            match changes_of(context, asked) {
                Ok(of_user) => changes.extend(of_user),
                Err((code, why)) => drop(results.insert(user.clone(), (code, Some(why.into())))),
            }
        }
    }
    // Whatever is left is written together, and so fails together.
    if let Err(error) = context.shared.security.users.apply(changes).await {
        for user in users.keys() {
            results.entry(user.clone()).or_insert_with(|| told(&error));
        }
    }
    let row = |user: StrBytes| {
        let (code, why) = results.remove(&user).unwrap_or_default();
        if code == 0 {
            tracing::info!(user = user.as_str(), by = %context.client.principal(), "credentials of a user changed");
        }
        AlterUserScramCredentialsResult::default().with_user(user).with_error_code(code).with_error_message(why)
    };
    AlterUserScramCredentialsResponse::default().with_results(users.into_keys().map(row).collect())
}

/// What is asked for of one user.
#[derive(Default)]
struct Asked<'a> {
    deletions: Vec<&'a ScramCredentialDeletion>,
    upsertions: Vec<&'a ScramCredentialUpsertion>,
}

fn changes_of(context: &Context, asked: &Asked<'_>) -> Result<Vec<Change>, (i16, &'static str)> {
    let mechanism =
        |number| ScramHash::from_wire(number).ok_or((errors::UNSUPPORTED_SASL_MECHANISM, "no such mechanism"));
    let mut changes: BTreeMap<UserKey, Change> = BTreeMap::new();
    let mut add = |key: UserKey, change| match changes.insert(key, change) {
        None => Ok(()),
        Some(_) => Err((errors::DUPLICATE_RESOURCE, "the request names this credential more than once")),
    };
    for deletion in &asked.deletions {
        let key = UserKey { user: deletion.name.to_string(), mechanism: mechanism(deletion.mechanism)? };
        if key.user.is_empty() {
            return Err((errors::UNACCEPTABLE_CREDENTIAL, "a user's name has 1 to 256 bytes"));
        }
        if context.shared.security.users.find(&key.user, key.mechanism).is_none() {
            return Err((errors::RESOURCE_NOT_FOUND, "there is no such credential"));
        }
        add(key.clone(), Change::Delete(key))?;
    }
    for upsertion in &asked.upsertions {
        let key = UserKey { user: upsertion.name.to_string(), mechanism: mechanism(upsertion.mechanism)? };
        let iterations = u32::try_from(upsertion.iterations).unwrap_or(0);
        let fits = users::check(&key.user, iterations, upsertion.salt.len()).is_ok();
        if !fits || upsertion.salted_password.len() != key.mechanism.bytes() {
            let why = "a name has 1 to 256 bytes, iterations are 4096 to 16384, a salt has 1 to 1024 bytes, \
                       a salted password as many as its hash";
            return Err((errors::UNACCEPTABLE_CREDENTIAL, why));
        }
        let salt = upsertion.salt.to_vec();
        let credential = Credential::from_salted(key.mechanism, &upsertion.salted_password, salt, iterations);
        add(key.clone(), Change::Upsert(key, credential))?;
    }
    Ok(changes.into_values().collect())
}
