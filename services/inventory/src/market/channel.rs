//! A channel to all replicas of the market service, at the addresses that its names mean now.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use service::ServiceContext;
use tokio::{net::lookup_host, sync::mpsc::Sender};
use tonic::transport::{Channel, Endpoint, Uri, channel::Change};

/// How long to wait for a connection: at the address of a replica that has ended, packets may go unanswered.
const CONNECT_MAX: Duration = Duration::from_millis(300);
/// How often the names are looked up: so long may it take until a new replica gets its share.
const LOOK_UP_EVERY: Duration = Duration::from_secs(1);
/// How long a market may be silent before it is asked for a sign of life, and how long it may leave that unanswered.
const SILENCE_MAX: Duration = Duration::from_secs(5);
const HTTP_PORT: u16 = 80;
/// How many bytes a market may send on a connection that no call has read: as HTTP/2 begins with. hyper would allow 5 MiB.
const WINDOW_BYTES: u32 = 64 * 1024 - 1;
/// The largest head of an answer, in bytes: it holds what the market says when it fails, which is logged.
const HEAD_BYTES_MAX: u32 = 4 * 1024;

/// An address that is none.
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{0}` is not the address of a service: it should be like http://market:8081")]
pub struct InvalidAddress(String);

/// Returns a channel to what listens at these URLs, behind commas. It is connected when it is first used, and follows
/// what comes and goes until the context is closed.
pub(super) fn to(context: &ServiceContext, urls: &str) -> Result<Channel, InvalidAddress> {
    let names: Vec<(String, u16)> = urls.split(',').map(name_of).collect::<Result<_, _>>()?;
    let (channel, changes) = Channel::balance_channel(64);
    let stop = context.stop().clone();
    context.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = follow(names, changes) => {}
        }
    });
    Ok(channel)
}

fn name_of(url: &str) -> Result<(String, u16), InvalidAddress> {
    let invalid = || InvalidAddress(url.to_owned());
    let uri: Uri = url.trim().parse().map_err(|_| invalid())?;
    match uri.host() {
        Some(host) if uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") => {
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            Ok((host, uri.port_u16().unwrap_or(HTTP_PORT)))
        }
        _ => Err(invalid()),
    }
}

/// Tells the channel which replicas came and which went, for as long as it is there.
async fn follow(names: Vec<(String, u16)>, changes: Sender<Change<SocketAddr, Endpoint>>) {
    let mut known = HashSet::new();
    loop {
        let mut found = HashSet::new();
        let mut all_known = true;
        for (host, port) in &names {
            match lookup_host((host.as_str(), *port)).await {
                Ok(addresses) => found.extend(addresses),
                Err(_) => all_known = false,
            }
        }
        // Who knows the names may be away: then those that were there are kept.
        if all_known {
            for gone in known.difference(&found) {
                if changes.send(Change::Remove(*gone)).await.is_err() {
                    return;
                }
            }
            known.retain(|address| found.contains(address));
        }
        for new in found {
            if known.insert(new) && changes.send(Change::Insert(new, endpoint(new))).await.is_err()
            {
                return;
            }
        }
        tokio::time::sleep(LOOK_UP_EVERY).await;
    }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    let uri = Uri::builder().scheme("http").authority(address.to_string()).path_and_query("/");
    // An address is part of a URL in whatever family it is.
    Endpoint::from(uri.build().unwrap_or_default())
        .connect_timeout(CONNECT_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_max_header_list_size(HEAD_BYTES_MAX)
        .http2_keep_alive_interval(SILENCE_MAX)
        .keep_alive_timeout(SILENCE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plain_address_of_a_service_is_one() {
        let names = |urls: &str| urls.split(',').map(name_of).collect::<Result<Vec<_>, _>>().ok();
        let market = |port| ("market".to_owned(), port);
        assert_eq!(names("http://market:8081"), Some(vec![market(8081)]));
        assert_eq!(names("http://market/, http://market:1"), Some(vec![market(80), market(1)]));
        assert_eq!(names("http://[::1]:8081"), Some(vec![("::1".to_owned(), 8081)]));
        for bad in ["", "market", "market:8081", "https://market", "http://market/buy", "http://a,"]
        {
            assert_eq!(names(bad), None, "{bad}");
        }
    }
}
