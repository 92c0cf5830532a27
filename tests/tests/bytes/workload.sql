create table t (a integer primary key, b text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 500)
insert into t select i, hex(randomblob(50)) from n;
create index i on t (b);
begin;
update t set b = 'x' where a % 3 = 0;
delete from t where a % 5 = 0;
commit;
vacuum;
pragma journal_mode = wal;
insert into t (b) values ('y');
pragma wal_checkpoint;
select count(*) from t;
