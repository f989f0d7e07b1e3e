//! UpdateFeatures: levels of features, each of which this node has one of (KIP-584, KIP-1022).

use kafka_protocol::{
    messages::{
        UpdateFeaturesRequest, UpdateFeaturesResponse, update_features_request::FeatureUpdateKey,
        update_features_response::UpdatableFeatureResult,
    },
    protocol::StrBytes,
};

use super::{errors, text};
use crate::{
    access::{CLUSTER, Operation},
    dispatch::Context,
    versions::FEATURES,
};

/// Kinds of updates: an upgrade, a safe downgrade, an unsafe one.
const UPGRADE_TYPES: std::ops::RangeInclusive<i8> = 1..=3;

/// What is asked for is so already, or cannot be: then nothing changes, whatever else is asked for.
pub(crate) async fn update(context: &Context, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse {
    let response = UpdateFeaturesResponse::default().with_error_message(None);
    if let Err(code) = context.authorize(Operation::Alter, CLUSTER) {
        return response.with_error_code(code);
    }
    let refused = request.feature_updates.iter().find_map(|wanted| {
        let why = refusal(wanted, context.version)?;
        let (level, feature) = (wanted.max_version_level, &*wanted.feature);
        Some(format!("Invalid update version {level} for feature {feature}. {why}"))
    });
    if let Some(why) = refused {
        let all = "The update failed for all features since the following feature had an error: ";
        return response
            .with_error_code(errors::INVALID_UPDATE_VERSION)
            .with_error_message(Some(text(&(all.to_owned() + &why))));
    }
    if context.version >= 2 {
        return response;
    }
    let done = |wanted: FeatureUpdateKey| {
        let none = StrBytes::from_static_str("NONE"); // as Kafka's, whose tools show it
        UpdatableFeatureResult::default().with_feature(wanted.feature).with_error_message(Some(none))
    };
    response.with_results(request.feature_updates.into_iter().map(done).collect())
}

/// In Kafka's words (`FeatureControlManager.updateFeature`), which its users may look for.
fn refusal(wanted: &FeatureUpdateKey, version: i16) -> Option<String> {
    let level = wanted.max_version_level;
    let ours = FEATURES.iter().find(|(name, _)| *name == &*wanted.feature).map(|(_, level)| *level);
    match ours {
        _ if version >= 1 && !UPGRADE_TYPES.contains(&wanted.upgrade_type) => {
            Some("The controller does not support the given upgrade type.".to_owned())
        }
        _ if level < 0 => Some("A feature version cannot be less than 0.".to_owned()),
        Some(ours) if level == ours => None,
        Some(ours) => Some(format!("This node only supports version {ours}")),
        None if level == 0 => Some("Feature not found.".to_owned()),
        None => Some("This node does not support this feature.".to_owned()),
    }
}
