//! One suite for whatever answers as a platform: a data directory in this process, the server that holds one over its
//! socket, and the same over HTTP with a key.

mod every_route;
mod leaving;
mod packages;
mod places;
mod rights;
mod suite;
mod suite_hooks;
mod suite_jobs;
mod suite_keeping;
mod templates;
mod what_only_a_client_meets;
