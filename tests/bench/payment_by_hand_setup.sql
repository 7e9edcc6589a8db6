-- What the payments of payment_by_hand.sql need to be there: a merchant with a PSP account, the two accounts of the
-- ledger that every payment passes, and the accounts of a thousand sellers. Run once, with psql, on a migrated database:
--
--   psql -v merchant=… -v psp_account=… -v receivable=… -v platform_fees=… -f payment_by_hand_setup.sql

begin;

insert into merchant (merchant_id, mode, name) values (:'merchant', 'test', 'By hand');

insert into psp_account (merchant_id, psp_account_id, mode, psp, name, base_url, api_secret, webhook_secrets)
values (:'merchant', :'psp_account', 'test', 'stripe', 'by hand', 'http://127.0.0.1',
        decode(repeat('01', 31), 'hex'), decode(repeat('01', 30), 'hex'));

insert into ledger_account (merchant_id, account_id, code, currency, kind, normal_side)
values (:'merchant', :'receivable', 'psp_receivable/stripe', 'EUR', 'asset', 1),
       (:'merchant', :'platform_fees', 'platform_fees', 'EUR', 'income', -1);

insert into ledger_account (merchant_id, account_id, code, currency, kind, normal_side)
select :'merchant', ((1000000000000000 + seller)::text || '0000000000000000')::uuid, 'seller_pending/seller-' || seller,
       'EUR', 'liability', -1
from generate_series(1, 1000) as seller;

insert into ledger_balance (merchant_id, account_id, normal_side, floored)
select merchant_id, account_id, normal_side, kind = 'liability'
from ledger_account where merchant_id = :'merchant';

commit;
