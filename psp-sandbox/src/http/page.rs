//! How the pages that a buyer sees are laid out.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

const STYLE: &str = "
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: light-dark(#f4f5f7, #14161a) }
main { width: min(26rem, 100vw - 2rem); box-sizing: border-box; padding: 2rem; margin: 1rem; border-radius: 12px;
  background: light-dark(#fff, #1f2229); box-shadow: 0 1px 3px #0002, 0 8px 24px #0001 }
h1 { font-size: 1rem; font-weight: 500; margin: 0; opacity: .7 }
.amount { font-size: 2.25rem; font-weight: 600; margin: 0 0 1.5rem; font-variant-numeric: tabular-nums }
form { display: grid; gap: .5rem }
button { all: unset; box-sizing: border-box; width: 100%; padding: .7rem 1rem; border-radius: 8px; cursor: pointer;
  border: 1px solid light-dark(#d5d9e0, #3a3f4a) }
button:hover { border-color: #4963e8 } button:focus-visible { outline: 2px solid #4963e8; outline-offset: 2px }
button small { display: block; opacity: .65 }
.wrong { padding: .7rem 1rem; border-radius: 8px; background: light-dark(#fdecec, #46211f); margin: 0 0 1rem }
.note { font-size: .85rem; opacity: .65; margin: 1.5rem 0 0 }
";

/// A page with this title.
pub fn page(status: StatusCode, title: &str, body: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (STYLE) }
            }
            body {
                main {
                    (body)
                    p.note { "This is the PSP sandbox. No money moves and no card exists." }
                }
            }
        }
    };
    (status, Html(page.into_string())).into_response()
}

/// A page that only says this.
pub fn words(status: StatusCode, title: &str, text: &str) -> Response {
    page(status, title, &html! { h1 { (title) } p { (text) } })
}
