//! A broker without the rest of the house: `serve PORT DIR` (port 0 picks a free one). For driving the Kafka door by hand
//! and for measuring it. Who may come in is said by the environment: see `security`.

use commitlog::{
    embedded::{EmbeddedLog, LogSettings},
    groups::Groups,
    transactions::Transactions,
};
use security::{
    BootstrapUser, ClientAuth, Jwks, OauthSettings, Principal, Protocol, SecuritySettings, TlsSettings, sasl::Mechanism,
};
use world::World;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().unwrap_or_else(|| "9092".to_owned()).parse()?;
    let dir = arguments.next().unwrap_or_else(|| "data".to_owned());
    let world = World::real();
    let log = EmbeddedLog::open(dir.as_ref(), LogSettings::default(), world.clone()).await?;
    let groups = Groups::open(log.clone(), world.clone()).await?;
    let transactions = Transactions::open(log.clone(), groups.clone(), world.clone()).await?;
    let handle = broker::Broker::start(broker::BrokerParts {
        log: log.clone(),
        groups,
        transactions,
        world: world.clone(),
        listen: (listen()?, port).into(),
        settings: broker::BrokerSettings { security: security()?, ..Default::default() },
    })
    .await?;
    println!("kafka {}", handle.addr);
    tokio::signal::ctrl_c().await?;
    println!("{:#?}", handle.stats());
    world.tasks.stop(std::time::Duration::from_secs(5)).await;
    log.close().await?;
    Ok(())
}

type Failed = Box<dyn std::error::Error>;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn listen() -> Result<std::net::IpAddr, Failed> {
    Ok(variable("LISTEN").as_deref().unwrap_or("127.0.0.1").parse()?)
}

/// `PROTOCOL`, `CERTIFICATE`, `KEY`, `CLIENT_CA`, `CLIENT_AUTH`, `MECHANISMS` (commas between), `JWKS`, `ISSUER`, `AUDIENCE`,
/// `REAUTHENTICATE_MS`, `AUTHORIZER=true`, `ALLOW_IF_NO_ACL=true`, `SUPER_USERS` (semicolons between),
/// `BOOTSTRAP_USER=name:password`.
fn security() -> Result<SecuritySettings, Failed> {
    let mut settings = SecuritySettings::default();
    if let Some(protocol) = variable("PROTOCOL") {
        settings.protocol = Protocol::parse(&protocol).ok_or("no such PROTOCOL")?;
    }
    if let Some(certificate) = variable("CERTIFICATE") {
        let client_auth = variable("CLIENT_AUTH").unwrap_or_else(|| "none".to_owned());
        settings.tls = Some(TlsSettings {
            certificate: certificate.into(),
            key: variable("KEY").ok_or("KEY is missing")?.into(),
            client_ca: variable("CLIENT_CA").map(Into::into),
            client_auth: ClientAuth::parse(&client_auth).ok_or("no such CLIENT_AUTH")?,
        });
    }
    if let Some(mechanisms) = variable("MECHANISMS") {
        let parsed = mechanisms.split(',').map(|name| Mechanism::parse(name).ok_or("no such mechanism"));
        settings.mechanisms = parsed.collect::<Result<_, _>>()?;
    }
    if let Some(jwks) = variable("JWKS") {
        let (issuer, audience) = (variable("ISSUER").unwrap_or_default(), variable("AUDIENCE").unwrap_or_default());
        settings.oauth = Some(OauthSettings::new(Jwks::parse(&jwks), &issuer, &[&audience]));
    }
    if let Some(ms) = variable("REAUTHENTICATE_MS") {
        settings.reauthenticate_after = Some(std::time::Duration::from_millis(ms.parse()?));
    }
    settings.authorizer = variable("AUTHORIZER").is_some();
    settings.allow_if_no_acl = variable("ALLOW_IF_NO_ACL").is_some();
    if let Some(users) = variable("SUPER_USERS") {
        let parsed = users.split(';').map(|user| Principal::parse(user).ok_or("a super user is User:name"));
        settings.super_users = parsed.collect::<Result<_, _>>()?;
    }
    if let Some(user) = variable("BOOTSTRAP_USER") {
        let (name, password) = user.split_once(':').ok_or("BOOTSTRAP_USER is name:password")?;
        settings.bootstrap_user = Some(BootstrapUser { name: name.to_owned(), password: password.to_owned() });
    }
    Ok(settings)
}
