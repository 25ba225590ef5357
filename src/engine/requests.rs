//! [`Requests`]: what the server has been asked for on behalf of one lock's callers.

use super::owner_token::OwnerToken;
use super::request::PendingRequest;

/// Requests in the order in which they began. Most locks have none, most of the others one, and several only if permits are
/// wanted. In eight bytes, since a process may hold very many locks.
#[derive(Debug, Default)]
pub(super) struct Requests(Option<Box<Row>>);

#[derive(Debug)]
struct Row {
    first: PendingRequest,
    rest: Vec<PendingRequest>,
}

impl Requests {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |row| 1 + row.rest.len())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PendingRequest> + Clone {
        self.0.iter().flat_map(|row| std::iter::once(&row.first).chain(&row.rest))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut PendingRequest> {
        self.0.iter_mut().flat_map(|row| std::iter::once(&mut row.first).chain(&mut row.rest))
    }

    pub(super) fn push(&mut self, request: PendingRequest) {
        match &mut self.0 {
            None => self.0 = Some(Box::new(Row { first: request, rest: Vec::new() })),
            Some(row) => row.rest.push(request),
        }
    }

    pub(super) fn get_mut(&mut self, token: OwnerToken) -> Option<&mut PendingRequest> {
        self.iter_mut().find(|request| request.token == token)
    }

    /// Takes the request with this token out.
    pub(super) fn take(&mut self, token: OwnerToken) -> Option<PendingRequest> {
        self.take_all(|request| request.token == token).pop()
    }

    /// Takes every request out for which this is so.
    pub(super) fn take_all(&mut self, mut is: impl FnMut(&PendingRequest) -> bool) -> Vec<PendingRequest> {
        let Some(row) = &mut self.0 else { return Vec::new() };
        if row.rest.is_empty() {
            return if is(&row.first) { self.0.take().map(|row| row.first).into_iter().collect() } else { Vec::new() };
        }
        let all = self.0.take().into_iter().flat_map(|row| std::iter::once(row.first).chain(row.rest));
        let (taken, rest): (Vec<_>, Vec<_>) = all.partition(is);
        for request in rest {
            self.push(request);
        }
        taken
    }
}
