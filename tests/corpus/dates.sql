-- Dates, times, intervals.
select date '2020-02-29', '2020-01-01'::date + 31, '2020-03-01'::date - '2020-02-01'::date;
select date '2020-01-31' + interval '1 month', date '2020-01-31' - interval '1 day';
select timestamp '2020-01-02 03:04:05.678', timestamptz '2020-01-02 03:04:05+02';
select timestamp '2020-01-02' - timestamp '2020-01-01 12:00';
select '2020-13-01'::date;
select '2020-02-30'::date;
select 'garbage'::date;
select time '12:34:56', time '12:34:56.789', '01:02'::time, '23:59:59.999999'::time;
select time '25:00';
select time '10:00' + interval '90 minutes', time '10:00' - time '08:30', time '23:00' + interval '2 hours';
select date '2020-01-01' + time '10:30';
select extract(hour from time '12:34:56'), extract(second from time '12:34:56.5');
select time '10:00' < time '11:00', max(t) from (values (time '10:00'), (time '09:00')) x(t);
select timestamp '2020-01-02 03:04:05'::time, '2020-01-02 03:04:05+00'::timestamptz::time;
select to_char(time '13:05:06', 'HH12:MI:SS AM');
select interval '1 day', interval '1 year 2 months 3 days 04:05:06', interval '90 minutes', interval '-1 day', interval '1.5 hours', interval '1 week';
-- differs: an interval with a range of fields is refused
select interval '1' day, interval '2 3' day to hour, interval '1-2' year to month, interval 'P1Y2M3DT4H5M6S';
select interval '1 day' + interval '2 hours', interval '1 day' * 2, interval '1 hour' / 2, interval '1 month' - interval '1 day', - interval '1 day';
select interval '1 day' = interval '24 hours', interval '1 month' > interval '29 days';
select extract(year from date '2020-05-06'), extract(month from date '2020-05-06'), extract(day from date '2020-05-06');
select extract(dow from date '2020-05-06'), extract(doy from date '2020-05-06'), extract(isodow from date '2020-05-10'), extract(week from date '2020-01-01'), extract(quarter from date '2020-05-06');
select extract(epoch from timestamp '2020-01-01'), extract(epoch from interval '1 day 2 hours'), extract(epoch from timestamptz '2020-01-01 00:00+00');
select extract(century from date '2020-01-01'), extract(decade from date '2020-01-01'), extract(millennium from date '2020-01-01'), extract(isoyear from date '2020-12-31'), extract(julian from date '2020-01-01');
select extract(hour from timestamp '2020-01-01 13:14:15'), extract(microseconds from timestamp '2020-01-01 00:00:01.5'), extract(milliseconds from timestamp '2020-01-01 00:00:01.5');
select date_part('year', date '2020-05-06'), date_part('hour', timestamp '2020-01-01 13:00');
select date_trunc('month', timestamp '2020-05-06 07:08:09'), date_trunc('hour', timestamp '2020-05-06 07:08:09'), date_trunc('week', date '2020-05-06'), date_trunc('quarter', timestamp '2020-05-06');
select date_trunc('day', timestamptz '2020-05-06 07:08:09+00', 'UTC');
select date_bin('15 minutes', timestamp '2020-02-11 15:44:17', timestamp '2001-01-01');
select age(timestamp '2020-03-01', timestamp '2019-01-15'), age(date '2020-01-01', date '2019-12-31');
select make_date(2020, 2, 29), make_timestamp(2020, 1, 2, 3, 4, 5.5), make_time(8, 15, 23.5);
-- differs: names of arguments are refused
select make_interval(days => 10);
select make_date(2020, 2, 30);
select make_interval(1, 2, 0, 3, 4, 5, 6);
select to_char(timestamp '2020-05-06 17:08:09.123', 'YYYY-MM-DD HH24:MI:SS.MS'), to_char(timestamp '2020-05-06 17:08:09', 'Dy, DD Mon YYYY HH12:MI AM');
-- differs: this pattern of to_char() is shown as it stands
select to_char(date '2020-05-06', 'Day|Month|D|DDD|WW|IW|Q|YY|J'), to_char(date '2020-05-06', 'FMDay, FMDDth FMMonth YYYY');
-- differs: this pattern of to_char() is shown as it stands
select to_char(timestamp '2020-05-06 01:02:03.456789', 'US|MS|SSSS|HH|AM|am|A.M.');
-- differs: the function is missing
select to_char(interval '1 day 2 hours 3 minutes', 'DD HH24:MI:SS');
-- differs: the function is missing
select to_date('06 May 2020', 'DD Mon YYYY');
-- differs: the function is missing
select to_timestamp('2020-05-06 07:08', 'YYYY-MM-DD HH24:MI');
select to_timestamp(1588748889);
select isfinite(date '2020-01-01'), justify_days(interval '35 days'), justify_hours(interval '27 hours'), justify_interval(interval '1 month -1 hour');
select timestamp '2020-01-01 12:00' at time zone 'UTC', timestamptz '2020-01-01 12:00+00' at time zone 'UTC';
-- differs: the operator is missing
select (date '2020-01-01', date '2020-06-01') overlaps (date '2020-05-01', date '2020-12-01');
select generate_series(date '2020-01-01', date '2020-01-03', interval '1 day');
select generate_series(timestamp '2020-01-01', timestamp '2020-01-02', '12 hours');
-- differs: pg_typeof() answers with text
select current_date = now()::date, now() = current_timestamp, pg_typeof(localtimestamp), pg_typeof(localtime);
-- differs: there is no time with time zone
select pg_typeof(current_time);
select clock_timestamp() >= now(), statement_timestamp() >= transaction_timestamp();
select min(d), max(d) from (values (date '2020-01-02'), (date '2020-01-01')) t(d);
select sum(i), avg(i) from (values (interval '1 hour'), (interval '2 hours')) t(i);
select date '2020-01-01' < timestamp '2020-01-01 00:00:01', date '2020-01-01' = timestamp '2020-01-01';
select '2020-01-01'::timestamp::date, '2020-01-01 10:00'::timestamp::text, '2020-01-01'::date::timestamptz;
select timestamp 'epoch', date '1970-01-01' - 1, '19990108'::date;
-- differs: names of months are not read
select 'January 8, 1999'::date;
-- differs: names of months are not read
select '1999-Jan-08'::date;
-- differs: there is no infinite timestamp
select 'infinity'::timestamp;
select 'today'::date = current_date, 'now'::timestamp is not null;
select interval '1 day 25 hours', interval '100 days'::text, interval '00:00:00.5', interval '1 mon -1 days', interval '0';
-- differs: precisions other than 6 are refused
select timestamp(0) '2020-01-01 00:00:00.6', '2020-01-01 00:00:00.123456'::timestamp(3);
-- differs: times are not compared with intervals
select interval '3 hours' > time '02:00';
select now() - interval '1 hour' < now(), pg_sleep(0);
select timezone('UTC', timestamp '2020-01-01 12:00'), date_part('epoch', timestamp '1970-01-02');
