//! The settlement report over HTTP.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use futures::{Stream, stream};
use serde::Deserialize;

use super::control::Refused;
use crate::core::{Core, SharedWorld, locked};
use crate::model::Payout;
use crate::model::id::Kind;
use crate::settlement::{Discrepancy, Report, ReportRequest};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportQuery {
    payment_metadata: Option<String>,
    refund_metadata: Option<String>,
    #[serde(default)]
    include_payout: bool,
    account: Option<String>,
}

impl ReportQuery {
    fn request(&self) -> ReportRequest {
        let keys = |text: &String| text.split(',').map(str::to_owned).collect();
        let usual = ReportRequest::default();
        let payment = self.payment_metadata.as_ref().map(keys);
        let refund = self.refund_metadata.as_ref().map(keys);
        ReportRequest {
            payment_metadata: payment.unwrap_or(usual.payment_metadata),
            refund_metadata: refund.unwrap_or(usual.refund_metadata),
            include_payout: self.include_payout,
        }
    }
}

/// The report of one payout.
pub async fn of_payout(
    State(core): State<Arc<Core>>,
    Path(id): Path<String>,
    Query(query): Query<ReportQuery>,
) -> Result<Response, Refused> {
    let found = core.worlds().into_iter().find_map(|shared| {
        let world = locked(&shared);
        let seq = world.nonce.seq(Kind::Payout, &id)?;
        let payout = Arc::clone(world.payout_at(seq)?);
        drop(world);
        Some((shared, payout))
    });
    let found = found.ok_or_else(|| Refused::not_found(format_args!("payout {id}")))?;
    Ok(csv(&core, query.request(), vec![found]))
}

/// The report of all payouts, of one account when it is named.
pub async fn of_all(
    State(core): State<Arc<Core>>,
    Query(query): Query<ReportQuery>,
) -> Result<Response, Refused> {
    let mut payouts = Vec::new();
    for shared in core.worlds() {
        let world = locked(&shared);
        let account = query.account.as_deref();
        if account.is_none_or(|account| account == &*world.account) {
            // one that a call asked for is a line of another's report
            let ours = world.payouts().iter().filter(|payout| payout.manual.is_none()).cloned();
            payouts.extend(ours.map(|payout| (Arc::clone(&shared), payout)));
        }
    }
    Ok(csv(&core, query.request(), payouts))
}

fn csv(core: &Core, request: ReportRequest, payouts: Vec<(SharedWorld, Arc<Payout>)>) -> Response {
    let parts = parts(request, core.discrepancies(), payouts);
    let mut response = Response::new(Body::from_stream(parts));
    let kind = HeaderValue::from_static("text/csv; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The header, then stretches of lines, each made when it is asked for.
fn parts(
    request: ReportRequest,
    discrepancies: Arc<Vec<Discrepancy>>,
    payouts: Vec<(SharedWorld, Arc<Payout>)>,
) -> impl Stream<Item = Result<Vec<u8>, csv::Error>> {
    let request = Arc::new(request);
    let header = Report::header(&request);
    let reports = payouts.into_iter().flat_map(move |(shared, payout)| {
        let (request, planted) = (Arc::clone(&request), Arc::clone(&discrepancies));
        let mut report = Report::new(request, planted, payout);
        (0..report.stretches()).map(move |number| report.stretch(&locked(&shared), number))
    });
    stream::iter(std::iter::once(header).chain(reports))
}
