//! What the state machines want to be done to their connections.

use crate::address::Address;

/// What the owner of a link has to do for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect, read the credentials, and call `dialled` or `fail`. A connection that was there is closed before.
    /// Credentials that were let in no more are got anew where that can be.
    Dial { address: Address, is_denied: bool },
    /// Read the credentials again, and call `authenticate` or `fail`.
    Authenticate,
    /// Close the connection.
    HangUp,
}
