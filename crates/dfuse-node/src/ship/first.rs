//! The state that a node's history begins with, asked for alone.

use dfuse_ship::{BlocksRequest, Consensus, Protocol, Request, Response, Results, Status};
use tokio::sync::mpsc;

use super::{Addresses, address::Address, socket::Socket};
use crate::{Error, Result, StateEvent, event::Sender, whole_state::StateReader};

/// Gives the state that the history of the first node that answers begins with, if it does not begin with the chain.
pub(crate) fn first_state<E: From<Error>>(
    addresses: &Addresses,
    take: &mut impl FnMut(StateEvent) -> Result<(), E>,
) -> Result<Option<Consensus>, E> {
    // Nobody else wants anything of this connection.
    let (wanted, _receiver) = mpsc::channel(1);
    for address in addresses.all() {
        match connect(address, &wanted) {
            Ok((socket, status)) => return of_node(address, socket, &status, take),
            Err(why) => tracing::warn!(node = %address, %why, "a node does not say what its state history begins with"),
        }
    }
    // Following them tells what is wrong, and tries again.
    Ok(None)
}

fn connect<'a>(address: &Address, wanted: &'a Sender) -> Result<(Socket<'a>, Status), String> {
    let (mut socket, text) = Socket::connect(address, wanted).map_err(|error| error.to_string())?;
    Protocol::from_abi(&text).map_err(|error| error.to_string())?;
    socket.send(Request::Status.pack()).map_err(|error| error.to_string())?;
    let mut message = socket.message();
    let results = Results::read(&mut message).map_err(|error| error.to_string())?;
    match *results.response() {
        Response::Status(status) => Ok((socket, status)),
        Response::Blocks { .. } => Err("it did not answer a request for its status".to_owned()),
    }
}

fn of_node<E: From<Error>>(
    address: &Address,
    mut socket: Socket<'_>,
    status: &Status,
    take: &mut impl FnMut(StateEvent) -> Result<(), E>,
) -> Result<Option<Consensus>, E> {
    let (first, end) = status.deltas;
    // The second block has the state where a node has replayed its blocks.
    if first <= 2 || end <= first {
        return Ok(None);
    }
    let place = format!("node {address}");
    let wrong = |source| Error::History { place: place.clone(), source };
    let io = |source| wrong(dfuse_ship::Error::Io { offset: 0, source });
    let request = BlocksRequest {
        start_block_num: first,
        end_block_num: first + 1,
        max_messages_in_flight: 1,
        fetch_deltas: true,
        ..BlocksRequest::default()
    };
    socket.send(Request::Blocks(request).pack()).map_err(io)?;
    let mut message = socket.message();
    let mut results = Results::read(&mut message).map_err(wrong)?;
    let this_block = match *results.response() {
        Response::Blocks { this_block, .. } => this_block.filter(|block| block.block_num == first),
        Response::Status(_) => None,
    };
    // Neither the block nor traces were asked for.
    let mut size = None;
    for _ in 0..3 {
        size = results.next_part().map_err(wrong)?;
    }
    let Some((block, size)) = this_block.zip(size) else {
        return Err(Error::HistoryMissing(format!(
            "{place} says that it has deltas from block {first} on, and does not send them"
        ))
        .into());
    };
    StateReader { id: block.block_id, chain_id: status.chain_id, place }.read(results.content(size), take).map(Some)
}
