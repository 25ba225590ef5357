//! The options of StackExchange.Redis, and what each means here.

use super::value;

/// What an option is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    User,
    Password,
    Database,
    Ssl,
    /// Allowed if it is the host.
    SslHost,
    /// The service that Sentinel watches, and the credentials of the sentinels.
    ServiceName,
    SentinelUser,
    SentinelPassword,
    /// Whether the sentinels are connected to with TLS. Without it they are if the servers are.
    SentinelSsl,
    ConnectTimeout,
    /// If several options set it, the one with the highest rank counts.
    ResponseTimeout {
        rank: u8,
    },
    KeepAlive,
    Protocol,
    /// Accepted without effect: it concerns another client, and locks do not depend on it.
    Ignored,
    /// Accepted with values that say what is the case anyway.
    Only {
        accepts: fn(&str) -> bool,
        reason: &'static str,
    },
    /// Refused, since the author of the string would rely on it in vain.
    Refused {
        reason: &'static str,
    },
}

/// One option, with the usual spelling of its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) role: Role,
}

const KNOWN: &[Known] = &[
    Known { name: "user", role: Role::User },
    Known { name: "password", role: Role::Password },
    Known { name: "defaultDatabase", role: Role::Database },
    Known { name: "ssl", role: Role::Ssl },
    Known { name: "connectTimeout", role: Role::ConnectTimeout },
    Known { name: "syncTimeout", role: Role::ResponseTimeout { rank: 0 } },
    Known { name: "asyncTimeout", role: Role::ResponseTimeout { rank: 1 } },
    Known { name: "responseTimeout", role: Role::ResponseTimeout { rank: 2 } },
    Known { name: "keepAlive", role: Role::KeepAlive },
    Known { name: "protocol", role: Role::Protocol },
    Known { name: "sslHost", role: Role::SslHost },
    Known {
        name: "sslProtocols",
        role: Role::Only {
            accepts: |text| {
                let versions: Vec<_> = text.split('|').map(|version| version.trim().to_ascii_lowercase()).collect();
                versions == ["none"]
                    || versions.iter().any(|version| version == "tls12")
                        && versions.iter().all(|version| version == "tls12" || version == "tls13")
            },
            reason: "TLS 1.2 and 1.3 are spoken, and neither can be switched off; allowed are none, tls12 and \
                     tls12|tls13",
        },
    },
    Known {
        name: "checkCertificateRevocation",
        role: Role::Only {
            accepts: |text| value::boolean(text) == Ok(false),
            reason: "lists of revoked certificates are not read; only false is allowed",
        },
    },
    Known {
        name: "highIntegrity",
        role: Role::Only {
            accepts: |text| value::boolean(text) == Ok(false),
            reason: "commands are not checked for their sequence; only false is allowed",
        },
    },
    Known {
        name: "proxy",
        role: Role::Only {
            accepts: |text| text.is_empty() || text.eq_ignore_ascii_case("none"),
            reason: "proxies that spread keys over servers are not supported; only none is allowed",
        },
    },
    Known {
        name: "maintNotifications",
        role: Role::Only {
            accepts: |text| text.eq_ignore_ascii_case("disabled") || text.eq_ignore_ascii_case("auto"),
            reason: "notices of maintenance are not asked for; only disabled and auto are allowed",
        },
    },
    Known { name: "abortConnect", role: Role::Ignored },
    Known { name: "allowAdmin", role: Role::Ignored },
    Known { name: "configChannel", role: Role::Ignored },
    Known { name: "configCheckSeconds", role: Role::Ignored },
    Known { name: "connectRetry", role: Role::Ignored },
    Known { name: "highPriorityThreads", role: Role::Ignored },
    Known { name: "maintPostEventRelaxed", role: Role::Ignored },
    Known { name: "maintRelaxedTimeout", role: Role::Ignored },
    Known { name: "maintRelaxedWindowMax", role: Role::Ignored },
    Known { name: "name", role: Role::Ignored },
    // These four are of CSRedis, whose strings have the same form.
    Known { name: "idleTimeout", role: Role::Ignored },
    Known { name: "poolsize", role: Role::Ignored },
    Known { name: "preheat", role: Role::Ignored },
    Known { name: "tryit", role: Role::Ignored },
    Known { name: "preserveAsyncOrder", role: Role::Ignored },
    Known { name: "resolveDns", role: Role::Ignored },
    Known { name: "setlib", role: Role::Ignored },
    Known { name: "tcpKeepAlive", role: Role::Ignored },
    Known { name: "tiebreaker", role: Role::Ignored },
    Known { name: "topologyRefreshSeconds", role: Role::Ignored },
    Known { name: "version", role: Role::Ignored },
    Known { name: "writeBuffer", role: Role::Ignored },
    Known { name: "serviceName", role: Role::ServiceName },
    Known { name: "sentinelUser", role: Role::SentinelUser },
    Known { name: "sentinelPassword", role: Role::SentinelPassword },
    Known { name: "sentinelSsl", role: Role::SentinelSsl },
    Known {
        name: "channelPrefix",
        role: Role::Refused { reason: "names of channels cannot be set; what sets them apart is key_prefix" },
    },
    Known { name: "prefix", role: Role::Refused { reason: "names of keys are set apart by key_prefix" } },
    Known {
        name: "defaults",
        role: Role::Refused {
            reason: "sets of defaults are not known here; write their options out, such as ssl=true",
        },
    },
    Known {
        name: "tunnel",
        role: Role::Refused { reason: "tunnels are not supported; the server is connected to directly" },
    },
];

/// The option of this name, in upper or lower case.
pub(super) fn find(name: &str) -> Option<Known> {
    KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(name)).copied()
}

/// The names that are accepted, for an error.
pub(super) fn accepted() -> String {
    let names: Vec<_> =
        KNOWN.iter().filter(|known| !matches!(known.role, Role::Refused { .. })).map(|known| known.name).collect();
    names.join(", ")
}

#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = Known> {
    KNOWN.iter().copied()
}
