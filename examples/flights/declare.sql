-- Two topics that are tables by being declared, and three plain tables for what does not move.

CREATE STREAM flights (
    year INT, month INT, day INT,
    dep_time INT, sched_dep_time INT, dep_delay INT,
    arr_time INT, sched_arr_time INT, arr_delay INT,
    carrier VARCHAR, flight INT, tailnum VARCHAR, origin VARCHAR, dest VARCHAR,
    air_time INT, distance INT, hour INT, minute INT, time_hour TIMESTAMP
) WITH (KAFKA_TOPIC = 'flights', VALUE_FORMAT = 'JSON', PARTITIONS = 4);

CREATE STREAM weather (
    origin VARCHAR, year INT, month INT, day INT, hour INT,
    temp DOUBLE, dewp DOUBLE, humid DOUBLE, wind_dir INT, wind_speed DOUBLE, wind_gust DOUBLE,
    precip DOUBLE, pressure DOUBLE, visib DOUBLE, time_hour TIMESTAMP
) WITH (KAFKA_TOPIC = 'weather', VALUE_FORMAT = 'JSON', PARTITIONS = 1);

CREATE TABLE airlines (carrier VARCHAR, name VARCHAR);

CREATE TABLE airports (
    faa VARCHAR, name VARCHAR, lat DOUBLE, lon DOUBLE, alt INT, tz INT, dst VARCHAR, tzone VARCHAR
);

CREATE TABLE planes (
    tailnum VARCHAR, year INT, type VARCHAR, manufacturer VARCHAR, model VARCHAR,
    engines INT, seats INT, speed INT, engine VARCHAR
);
