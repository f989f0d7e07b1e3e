//! Who is at a door, and what they may do.
//!
//! Knows neither Kafka's wire nor any other protocol: doors hand in the tokens and names they read, and get principals and
//! decisions. So users and rules are the same whichever door somebody comes through.
//!
//! ```text
//!  certificate files ── tls ──────────────┐
//!  SASL tokens ── sasl ── users, oauth ───┴→ Principal ─→ authorizer ─→ Allowed | Denied ─→ audit
//!                          │ __users                        │ __acls                         │ _audit
//! ```
//! What lasts is records in topics: [`store`] says how. Decisions ([`authorizer`]), the SCRAM exchange ([`scram`], [`scram_client`]) and the
//! bundling of refusals ([`audit`]) are plain functions of their input.

pub mod acl;
pub mod audit;
pub mod authorizer;
mod der;
pub mod exclusive;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod http;
mod jwks;
mod jwt;
mod nobody;
pub mod oauth;
mod principal;
pub mod sasl;
pub mod scram;
pub mod scram_client;
mod service;
mod settings;
pub mod store;
pub mod tls;
pub mod users;

pub use self::{
    principal::Principal,
    service::Security,
    settings::{BootstrapUser, ClientAuth, Jwks, OauthSettings, Protocol, SecuritySettings, TlsSettings},
};
