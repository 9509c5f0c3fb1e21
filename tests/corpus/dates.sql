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
select to_char(date '2020-05-06', 'Day|Month|D|DDD|WW|IW|Q|YY|J'), to_char(date '2020-05-06', 'FMDay, FMDDth FMMonth YYYY');
select to_char(timestamp '2020-05-06 01:02:03.456789', 'US|MS|SSSS|HH|AM|am|A.M.');
select to_char(interval '1 day 2 hours 3 minutes', 'DD HH24:MI:SS');
select to_date('06 May 2020', 'DD Mon YYYY');
select to_timestamp('2020-05-06 07:08', 'YYYY-MM-DD HH24:MI');
select to_timestamp(1588748889);
select to_char(timestamptz '2020-05-06 07:08:09.012345+00', 'YYYY-MM-DD"T"HH24:MI:SS.USOF'), to_char(timestamptz '2020-05-06 07:08:09+00', 'TZ tz TZH:TZM OF'), to_char(timestamp '2020-05-06', '[TZ]');
select to_char(date '2020-01-01', 'IYYY-IW-ID IYY IY I IDDD'), to_char(date '2021-01-03', 'IYYY-"W"IW-ID'), to_char(date '0044-03-15', 'Y,YYY YYYY YYY YY Y BC B.C. ad CC');
select to_char(date '2020-03-09', 'DAY Day day DY Dy dy|MONTH Month month MON Mon mon|RM rm|W WW'), to_char(date '2020-03-09', 'FMDAY FMMonth FMRM TMMonth TMDay|FMDD FMMM FMDDD FMYY');
select to_char(timestamp '2020-01-01 00:05:09.1', 'HH HH12 HH24 MI SS FF1 FF2 FF3 FF4 FF5 FF6 SSSS SSSSS'), to_char(timestamp '2020-01-01 12:00', 'AM am A.M. a.m. PM pm P.M. p.m.');
select to_char(date '2020-12-21', 'DDth DDTH DDDth FMDDth Qth MMth YYYYth'), to_char(date '2020-12-12', 'DDth FMDth'), to_char(date '2020-12-23', 'DDSP DDth');
select to_char(timestamp '2020-05-06', '"YYYY" \"YYYY\" "a\"b" xYYYYx é FMMM FM'), to_char(date '2020-01-01', ''), to_char(null::date, 'YYYY');
select to_char(interval '-1 year -2 months 3 days -04:05:06.7', 'YYYY MM DD HH24 MI SS US'), to_char(interval '25 months', 'RM|YY|MM|CC|Q'), to_char(interval '100 hours', 'HH24|HH12|SSSS|AM|DDD');
select to_char(interval '1 day', 'Month');
select to_char(interval '1 day', 'TZ');
select to_char(date '2020-02-29', 'J DDD IDDD'), to_char(timestamp '9999-12-31 23:59:59.999999', 'YYYY-MM-DD HH24:MI:SS.US J'), to_char(timestamp '0001-01-01', 'YYYY IYYY CC J');
select to_date('2020-05-06', 'YYYY-MM-DD'), to_date('06/05/20', 'DD/MM/YY'), to_date('20200506', 'YYYYMMDD'), to_date('May 6, 2020', 'Month DD, YYYY'), to_date('  2020   May  6', 'YYYY Mon DD');
select to_date('2020 127', 'YYYY DDD'), to_date('2020-19-3', 'IYYY-IW-ID'), to_date('2020-128', 'IYYY-IDDD'), to_date('2458976', 'J'), to_date('2020 2', 'YYYY WW'), to_date('2020 3 2', 'YYYY MM W'), to_date('21 20', 'CC YY'), to_date('v 2020', 'RM YYYY');
select to_date('2020-3-05', 'YYYY-Q-MM'), to_date('69 70', 'YY DD');
select to_date('99-1-1', 'YY-MM-DD'), to_date('5-1-1', 'Y-MM-DD'), to_date('2,020-01', 'Y,YYY-MM'), to_date('2020-01-02 rest', 'YYYY-MM-DD'), to_date('2020', 'YYYY-MM-DD');
select to_timestamp('2020-05-06 07:08:09.5 PM', 'YYYY-MM-DD HH:MI:SS.MS AM'), to_timestamp('2020-05-06 07:08:09.012345', 'YYYY-MM-DD HH24:MI:SS.US'), to_timestamp('2020-05-06 23:59:59.9996', 'YYYY-MM-DD HH24:MI:SS.FF3'), to_timestamp('2020-05-06 1:2:3', 'YYYY-MM-DD HH24:MI:SS');
select to_timestamp('2020-05-06 07:08 -05:30', 'YYYY-MM-DD HH24:MI TZH:TZM'), to_timestamp('2020-05-06 3661', 'YYYY-MM-DD SSSS'), to_timestamp('20200506T070809', 'YYYYMMDD"T"HH24MISS');
select to_date('2020-13-01', 'YYYY-MM-DD');
select to_date('2020-02-30', 'YYYY-MM-DD');
select to_date('x', 'YYYY');
select to_date('2020 Foo', 'YYYY Mon');
select to_date('2020-01-01 2021', 'YYYY-MM-DD YYYY');
select to_date('2020-01-01', 'IYYY-MM-DD');
select to_date('127', 'DDD');
select to_date('99999999999', 'YYYY');
select to_date('202', 'YYYYMM');
select to_timestamp('25:00', 'HH24:MI');
select to_timestamp('2020-01-01 13', 'YYYY-MM-DD HH12');
select to_timestamp('2020-01-01 UTC', 'YYYY-MM-DD TZ');
select to_timestamp('2020-01-01 +16', 'YYYY-MM-DD TZH');
select to_date('2020/05 06', 'FXYYYY-MM-DD'), to_date('2020  05', 'FXYYYY MM');
-- differs: years are 1 to 9999
select to_date('0044-03-15 BC', 'YYYY-MM-DD BC'), to_date('20000-01-01', 'YYYY-MM-DD');
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
