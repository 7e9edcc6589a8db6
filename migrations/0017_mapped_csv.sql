-- Settlement files of PSPs that we have no reader for: CSV, read by a map of its columns.

alter table settlement_file
    drop constraint settlement_file_format_known,
    add constraint settlement_file_format_known check (format in
        ('stripe_payout_reconciliation', 'adyen_settlement_detail', 'paypal_settlement', 'mapped_csv')),
    -- the map's own name, and the hash of what it said when the file came: what is left of a file is read as its beginning was
    add column map_name   text,
    add column map_sha256 bytea,
    add constraint settlement_file_map_named check ((map_name is not null) = (format = 'mapped_csv')),
    add constraint settlement_file_map_name_short check (char_length(map_name) between 1 and 100),
    add constraint settlement_file_map_sha256_whole
        check ((map_sha256 is null) = (map_name is null) and octet_length(map_sha256) = 32);
