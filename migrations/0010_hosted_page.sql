-- Buyers may pay on the PSP's page and come back to the shop: then no token of theirs is known to us.

alter table payment
    alter column payment_method drop not null,
    add column return_url text,
    add constraint payment_has_method check (payment_method is not null or return_url is not null),
    add constraint payment_return_url_short check (char_length(return_url) between 1 and 2048);
