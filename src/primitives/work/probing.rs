//! Single probes of the world outside: what answered, or a transient failure that says why nothing did.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::primitives::contract::Ctx;
use crate::primitives::work::commands;
use crate::primitives::work::http::{self, Ask, Url};
use crate::run::failure::Failure;

/// Whether something accepts connections at `host:port`.
pub async fn connect(address: &str, patience: Duration) -> Result<String, Failure> {
    match tokio::time::timeout(patience, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(format!("{address} accepts connections")),
        Ok(Err(error)) => Err(Failure::transient(format!("{address}: {error}"))),
        Err(_) => Err(Failure::transient(format!("{address} does not answer"))),
    }
}

/// Whether an address answers with the status that is wanted; `None`: any 2xx.
pub async fn get(url: &Url, wanted: Option<u32>, patience: Duration) -> Result<String, Failure> {
    let answer = http::request(Ask::Get, url, patience).await;
    let status = u32::from(answer.map_err(Failure::transient)?);
    let is_good = wanted.map_or((200..300).contains(&status), |wanted| wanted == status);
    let seen = format!("{url} answers {status}");
    if is_good { Ok(seen) } else { Err(Failure::transient(seen)) }
}

/// Whether a listed program on this computer ends with status 0.
pub async fn command(
    argv: &[String],
    ctx: &dyn Ctx,
    patience: Duration,
) -> Result<String, Failure> {
    commands::allowed(ctx.inventory(), argv)?;
    let stop = ctx.cancelled().child_token();
    // A probe that nobody waits for any more must not go on.
    let _ends_with_us = stop.clone().drop_guard();
    let asked = commands::here(commands::command(argv, BTreeMap::new(), ctx), ctx, stop);
    let shown = argv.join(" ");
    let Ok(ran) = tokio::time::timeout(patience, asked).await else {
        let patience = humantime::format_duration(patience);
        return Err(Failure::transient(format!("`{shown}` did not end within {patience}")));
    };
    let ran = ran?;
    let said = if ran.status == 0 { &ran.stdout } else { &ran.complaint };
    let said = said.trim().lines().next_back().unwrap_or_default();
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let seen = format!("`{shown}` ended with status {}{said}", ran.status);
    if ran.status == 0 { Ok(seen) } else { Err(Failure::transient(seen)) }
}
