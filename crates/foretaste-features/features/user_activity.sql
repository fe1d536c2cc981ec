-- feature: user_activity
-- entity: user
-- class: dynamic
-- window: 30d
-- description: How much a user has done lately, by kind of event. Days are UTC; the last day is today so far.
-- column user_impressions_1d: Items shown to the user today.
-- column user_impressions_7d: Items shown in the last 7 days.
-- column user_impressions_30d: Items shown in the last 30 days.
-- column user_views_1d: Views today.
-- column user_views_7d: Views in the last 7 days.
-- column user_views_30d: Views in the last 30 days.
-- column user_clicks_1d: Clicks today.
-- column user_clicks_7d: Clicks in the last 7 days.
-- column user_clicks_30d: Clicks in the last 30 days.
-- column user_favourites_7d: Favourites in the last 7 days.
-- column user_favourites_30d: Favourites in the last 30 days.
-- column user_orders_7d: Orders in the last 7 days.
-- column user_orders_30d: Orders in the last 30 days.
-- column user_active_days_7d: Days with any event among the last 7.
-- column user_active_days_30d: Days with any event among the last 30.
SELECT user_id, as_of,
       count(*) FILTER (WHERE kind = 'impression' AND age_days < 1) AS user_impressions_1d,
       count(*) FILTER (WHERE kind = 'impression' AND age_days < 7) AS user_impressions_7d,
       count(*) FILTER (WHERE kind = 'impression') AS user_impressions_30d,
       count(*) FILTER (WHERE kind = 'view' AND age_days < 1) AS user_views_1d,
       count(*) FILTER (WHERE kind = 'view' AND age_days < 7) AS user_views_7d,
       count(*) FILTER (WHERE kind = 'view') AS user_views_30d,
       count(*) FILTER (WHERE kind = 'click' AND age_days < 1) AS user_clicks_1d,
       count(*) FILTER (WHERE kind = 'click' AND age_days < 7) AS user_clicks_7d,
       count(*) FILTER (WHERE kind = 'click') AS user_clicks_30d,
       count(*) FILTER (WHERE kind = 'favourite' AND age_days < 7) AS user_favourites_7d,
       count(*) FILTER (WHERE kind = 'favourite') AS user_favourites_30d,
       count(*) FILTER (WHERE kind = 'order' AND age_days < 7) AS user_orders_7d,
       count(*) FILTER (WHERE kind = 'order') AS user_orders_30d,
       count(DISTINCT age_days) FILTER (WHERE age_days < 7) AS user_active_days_7d,
       count(DISTINCT age_days) AS user_active_days_30d
FROM history
GROUP BY user_id, as_of
