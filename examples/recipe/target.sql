create table target_table (id Int64, name Nullable(String), value Nullable(Float64)) engine = MergeTree order by id
