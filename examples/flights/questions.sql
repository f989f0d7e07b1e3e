-- Which airlines kept their passengers waiting?
SELECT a.name AS airline,
       count(*) AS flights,
       round(avg(f.dep_delay), 1) AS avg_delay_min,
       round(100.0 * count(*) FILTER (WHERE f.dep_delay > 15) / count(*), 1) AS late_pct
FROM flights f
JOIN airlines a ON a.carrier = f.carrier
WHERE f.dep_delay IS NOT NULL
GROUP BY a.name
HAVING count(*) >= 30
ORDER BY avg_delay_min DESC, airline
LIMIT 8;

-- Which hours were the worst at each airport, and what was the weather?
SELECT f.origin,
       f.time_hour,
       count(*) AS flights,
       round(avg(f.dep_delay), 0) AS avg_delay_min,
       round(max(w.wind_speed), 1) AS wind_mph,
       max(w.precip) AS rain_in,
       min(w.visib) AS visibility_mi
FROM flights f
JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour
WHERE f.dep_delay IS NOT NULL
GROUP BY f.origin, f.time_hour
HAVING count(*) >= 10
ORDER BY avg_delay_min DESC, f.origin, f.time_hour
LIMIT 8;

-- Do old aircraft leave later than new ones?
SELECT CASE WHEN p.year < 1990 THEN '1. before 1990'
            WHEN p.year < 2000 THEN '2. the 1990s'
            WHEN p.year < 2010 THEN '3. the 2000s'
            ELSE '4. from 2010' END AS built,
       count(DISTINCT f.tailnum) AS aircraft,
       count(*) AS flights,
       round(avg(f.dep_delay), 1) AS avg_delay_min
FROM flights f
JOIN planes p ON p.tailnum = f.tailnum
WHERE p.year IS NOT NULL AND f.dep_delay IS NOT NULL
GROUP BY 1
ORDER BY 1;

-- Which destinations lost the most hours?
SELECT coalesce(p.name, f.dest) AS destination,
       count(*) AS flights,
       count(*) FILTER (WHERE f.dep_time IS NULL) AS cancelled,
       round(sum(CASE WHEN f.arr_delay > 0 THEN f.arr_delay ELSE 0 END) / 60.0, 0) AS hours_lost
FROM flights f
LEFT JOIN airports p ON p.faa = f.dest
GROUP BY 1
ORDER BY hours_lost DESC, destination
LIMIT 8;

-- How far does one late aircraft's delay follow it through the day?
WITH legs AS (
    SELECT tailnum, dep_delay,
           row_number() OVER (PARTITION BY tailnum, month, day ORDER BY sched_dep_time, flight) AS leg,
           lag(arr_delay) OVER (PARTITION BY tailnum, month, day ORDER BY sched_dep_time, flight) AS delay_before
    FROM flights
    WHERE tailnum IS NOT NULL AND arr_delay IS NOT NULL
)
SELECT CASE WHEN delay_before <= 0 THEN '1. came in on time'
            WHEN delay_before <= 30 THEN '2. up to 30 min late'
            WHEN delay_before <= 90 THEN '3. up to 90 min late'
            ELSE '4. later still' END AS the_leg_before,
       count(*) AS legs,
       round(avg(dep_delay), 1) AS avg_delay_min
FROM legs
WHERE leg > 1 AND delay_before IS NOT NULL
GROUP BY 1
ORDER BY 1;
