-- feature: user_taste
-- entity: user
-- class: dynamic
-- window: 30d
-- description: What a user looks at: how varied it is, what it costs, how settled the taste is. Views and stronger signs only.
-- column user_items_30d: Different items that the user looked at.
-- column user_categories_30d: Different categories among them.
-- column user_top_category_share: Share of the category that was looked at most.
-- column user_mean_price: Mean price of what was looked at; items without a price do not count.
-- column user_max_price: Highest price among them.
-- column user_mean_order_price: Mean price of what was ordered; null without an order.
-- column user_repeat_share: Share of events on items that had been looked at before in the window.
SELECT user_id, as_of,
       sum(items) AS user_items_30d,
       count(category) AS user_categories_30d,
       CAST(max(events) AS DOUBLE) / sum(events) AS user_top_category_share,
       sum(price_seen) / nullif(sum(priced_events), 0) AS user_mean_price,
       max(highest_price) AS user_max_price,
       sum(price_paid) / nullif(sum(priced_orders), 0) AS user_mean_order_price,
       CAST(sum(events - items) AS DOUBLE) / sum(events) AS user_repeat_share
FROM (
    -- By category first: a window over categories would hold all rows in memory.
    SELECT user_id, as_of, category, count(*) AS items, sum(events) AS events,
           sum(price * events) AS price_seen,
           sum(CASE WHEN price IS NULL THEN 0 ELSE events END) AS priced_events,
           max(price) AS highest_price,
           sum(price * orders) AS price_paid,
           sum(CASE WHEN price IS NULL THEN 0 ELSE orders END) AS priced_orders
    FROM (
        SELECT h.user_id, h.as_of, h.item_id, i.category, i.price, count(*) AS events,
               count(*) FILTER (WHERE h.kind = 'order') AS orders
        FROM history h LEFT JOIN items i ON i.item_id = h.item_id
        WHERE h.kind <> 'impression'
        GROUP BY h.user_id, h.as_of, h.item_id, i.category, i.price
    )
    GROUP BY user_id, as_of, category
)
GROUP BY user_id, as_of
