//! The parameters of URLs, and what each means here: this crate's own, and those of other clients.
//!
//! Services in several languages often share one URL. A parameter of another client is used if it means the same here, or
//! accepted if it says what is the case anyway. It is ignored if it concerns only that client, and refused if the author of
//! the URL would rely on it in vain.

use super::value::{self, Unit};

/// What a parameter is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    Database,
    /// If several parameters set it, the one with the highest rank counts.
    ConnectTimeout {
        rank: u8,
        unit: Unit,
    },
    ResponseTimeout {
        rank: u8,
        unit: Unit,
    },
    Protocol,
    User,
    Password,
    /// The name of the service that Sentinel watches, and the credentials of the sentinels.
    SentinelService,
    SentinelUser,
    SentinelPassword,
    /// Whether the sentinels are connected to with TLS. Without it they are if the servers are.
    SentinelSsl,
    /// Accepted without effect: it concerns another client, and locks do not depend on it.
    Ignored,
    /// Accepted with values that say what is the case anyway, with TLS or without.
    Only {
        accepts: fn(&str, bool) -> bool,
        reason: &'static str,
    },
    /// Refused, since the author of the URL would rely on it in vain.
    Refused {
        reason: &'static str,
    },
}

/// One parameter, with the usual spelling of its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) role: Role,
}

const AS_THE_SCHEME: Role = Role::Only {
    accepts: |text, tls| value::boolean(text) == Ok(tls),
    reason: "the scheme decides: rediss:// is with TLS, whose certificates are always checked, and redis:// is without",
};

const CHECKED: Role = Role::Only {
    accepts: |text, tls| {
        tls && ["required", "cert_required", "full", "true"].iter().any(|it| it.eq_ignore_ascii_case(text))
    },
    reason: "certificates are always checked, and only with rediss://; allowed is only what says so, such as required",
};

const NEVER: Role = Role::Only {
    accepts: |text, _| value::boolean(text) == Ok(false),
    reason: "certificates are always checked, and TLS begins at once; only false is allowed",
};

const FILE: Role = Role::Refused {
    reason: "files are not read; give what is in them to tls_root_certificates or tls_client_identity",
};

const TLS_VERSION: Role = Role::Refused { reason: "TLS 1.2 and 1.3 are spoken, with the ciphers of the process" };

const PREFIX: Role = Role::Refused { reason: "names of keys are set apart by key_prefix" };

const SERVERS: Role = Role::Refused {
    reason: "servers stand before the path, with commas between them: redis+sentinel://host1,host2/service or \
             redis+cluster://host1,host2",
};

const KNOWN: &[Known] = &[
    Known { name: "db", role: Role::Database },
    Known { name: "database", role: Role::Database },
    Known { name: "connectTimeout", role: Role::ConnectTimeout { rank: 3, unit: Unit::Milliseconds } },
    Known { name: "dial_timeout", role: Role::ConnectTimeout { rank: 2, unit: Unit::Seconds } },
    Known { name: "socket_connect_timeout", role: Role::ConnectTimeout { rank: 1, unit: Unit::Seconds } },
    Known { name: "responseTimeout", role: Role::ResponseTimeout { rank: 5, unit: Unit::Milliseconds } },
    Known { name: "commandTimeout", role: Role::ResponseTimeout { rank: 4, unit: Unit::Milliseconds } },
    Known { name: "read_timeout", role: Role::ResponseTimeout { rank: 3, unit: Unit::Seconds } },
    Known { name: "socket_timeout", role: Role::ResponseTimeout { rank: 2, unit: Unit::Seconds } },
    Known { name: "timeout", role: Role::ResponseTimeout { rank: 1, unit: Unit::Written } },
    Known { name: "protocol", role: Role::Protocol },
    Known { name: "user", role: Role::User },
    Known { name: "username", role: Role::User },
    Known { name: "pass", role: Role::Password },
    Known { name: "password", role: Role::Password },
    Known {
        name: "family",
        role: Role::Only {
            accepts: |text, _| text == "0",
            reason: "addresses of both families are used, as the host's name has them; only 0 is allowed",
        },
    },
    Known { name: "ssl", role: AS_THE_SCHEME },
    Known { name: "tls", role: AS_THE_SCHEME },
    Known { name: "ssl_check_hostname", role: AS_THE_SCHEME },
    Known { name: "rejectUnauthorized", role: AS_THE_SCHEME },
    Known { name: "ssl_cert_reqs", role: CHECKED },
    Known { name: "verifyPeer", role: CHECKED },
    Known { name: "skip_verify", role: NEVER },
    Known { name: "startTls", role: NEVER },
    Known { name: "ssl_ca_certs", role: FILE },
    Known { name: "ssl_ca_data", role: FILE },
    Known { name: "ssl_ca_path", role: FILE },
    Known { name: "ssl_certfile", role: FILE },
    Known { name: "ssl_keyfile", role: FILE },
    Known { name: "ssl_ciphers", role: TLS_VERSION },
    Known { name: "ssl_min_version", role: TLS_VERSION },
    Known { name: "keyPrefix", role: PREFIX },
    Known { name: "prefix", role: PREFIX },
    Known { name: "sentinelMasterId", role: Role::SentinelService },
    Known { name: "master_name", role: Role::SentinelService },
    Known { name: "sentinel_username", role: Role::SentinelUser },
    Known { name: "sentinel_password", role: Role::SentinelPassword },
    Known { name: "sentinel_ssl", role: Role::SentinelSsl },
    Known { name: "addr", role: SERVERS },
    Known { name: "node", role: SERVERS },
    Known { name: "allowUsernameInURI", role: Role::Ignored },
    Known { name: "autoResubscribe", role: Role::Ignored },
    Known { name: "clientName", role: Role::Ignored },
    Known { name: "client_name", role: Role::Ignored },
    Known { name: "connectionName", role: Role::Ignored },
    Known { name: "conn_max_idle_time", role: Role::Ignored },
    Known { name: "conn_max_lifetime", role: Role::Ignored },
    Known { name: "conn_max_lifetime_jitter", role: Role::Ignored },
    Known { name: "decode_responses", role: Role::Ignored },
    Known { name: "dialer_retries", role: Role::Ignored },
    Known { name: "dialer_retry_timeout", role: Role::Ignored },
    Known { name: "enableOfflineQueue", role: Role::Ignored },
    Known { name: "enableReadyCheck", role: Role::Ignored },
    Known { name: "encoding", role: Role::Ignored },
    Known { name: "encoding_errors", role: Role::Ignored },
    Known { name: "health_check_interval", role: Role::Ignored },
    Known { name: "idle_check_frequency", role: Role::Ignored },
    Known { name: "idle_timeout", role: Role::Ignored },
    Known { name: "keepAlive", role: Role::Ignored },
    Known { name: "lazyConnect", role: Role::Ignored },
    Known { name: "lib_name", role: Role::Ignored },
    Known { name: "lib_version", role: Role::Ignored },
    Known { name: "libraryName", role: Role::Ignored },
    Known { name: "libraryVersion", role: Role::Ignored },
    Known { name: "max_active_conns", role: Role::Ignored },
    Known { name: "max_concurrent_dials", role: Role::Ignored },
    Known { name: "max_conn_age", role: Role::Ignored },
    Known { name: "max_connections", role: Role::Ignored },
    Known { name: "max_idle_conns", role: Role::Ignored },
    Known { name: "max_retries", role: Role::Ignored },
    Known { name: "max_retry_backoff", role: Role::Ignored },
    Known { name: "maxRetriesPerRequest", role: Role::Ignored },
    Known { name: "min_idle_conns", role: Role::Ignored },
    Known { name: "min_retry_backoff", role: Role::Ignored },
    Known { name: "noDelay", role: Role::Ignored },
    Known { name: "pool_fifo", role: Role::Ignored },
    Known { name: "pool_size", role: Role::Ignored },
    Known { name: "pool_timeout", role: Role::Ignored },
    Known { name: "reconnect_attempts", role: Role::Ignored },
    Known { name: "retry_on_error", role: Role::Ignored },
    Known { name: "retry_on_timeout", role: Role::Ignored },
    Known { name: "socket_keepalive", role: Role::Ignored },
    Known { name: "write_timeout", role: Role::Ignored },
];

/// The parameter of this name, in upper or lower case.
pub(super) fn find(name: &str) -> Option<Known> {
    KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(name)).copied()
}

#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = Known> {
    KNOWN.iter().copied()
}
